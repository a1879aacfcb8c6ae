// browser.mjs logs a person in with Chromium, over its debugging pipe: the pages
// with their cookies and policies are what a real browser takes them for.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'

const { ISSUER, CALLBACK, PASSWORD, CHROMIUM, PROFILE } = process.env
const chromium = spawn(CHROMIUM, ['--headless', '--no-sandbox', '--disable-gpu', '--remote-debugging-pipe', `--user-data-dir=${PROFILE}`], {
  stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
})
const [, , , to, from] = chromium.stdio
const waiting = new Map()
let text = ''
let last = 0
from.on('data', (data) => {
  text += data
  for (let end; (end = text.indexOf('\0')) >= 0; text = text.slice(end + 1)) {
    const { id, result, error } = JSON.parse(text.slice(0, end))
    waiting.get(id)?.(result ?? { error })
    waiting.delete(id)
  }
})
function send(method, params, sessionId) {
  return new Promise((resolve) => {
    waiting.set(++last, resolve)
    to.write(JSON.stringify({ id: last, method, params, sessionId }) + '\0')
  })
}

const { targetId } = await send('Target.createTarget', { url: 'about:blank' })
const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true })
const run = async (expression) => (await send('Runtime.evaluate', { expression, returnByValue: true }, sessionId)).result?.value

// shows waits for a page that holds a text.
async function shows(what) {
  for (let i = 0; i < 200; i++) {
    const seen = await run('document.readyState === "complete" ? document.title + " " + document.body.innerText : ""')
    if (seen?.includes(what)) return seen
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  assert.fail(`no ${what}, but ${await run('location.href + " " + document.body.innerText')}`)
}

await send('Page.navigate', {
  url: `${ISSUER}/oauth2/authorize?` + new URLSearchParams({
    client_id: 'native', redirect_uri: CALLBACK, response_type: 'code', scope: 'openid read',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM', code_challenge_method: 'S256',
  }),
}, sessionId)
await shows('Log in')
assert.equal(await run('getComputedStyle(document.querySelector("main")).borderRadius'), '16px', 'the style sheet is let in')
await run(`username.value = 'ada'; password.value = ${JSON.stringify(PASSWORD)}; document.querySelector('button').click()`)
await shows('wants to act for you, ada')
assert.equal(await run('document.cookie'), '', 'scripts see no cookie')
await run('document.querySelector("button[value=allow]").click()')
assert.match(await shows('called back'), /code=\w+/)

await send('Page.navigate', { url: `${ISSUER}/oauth2/logout` }, sessionId)
await shows('You are logged in as ada')
await run('document.querySelector("button").click()')
await shows('You are logged out')
console.log('ok')
chromium.on('exit', () => process.exit(0))
await send('Browser.close')
