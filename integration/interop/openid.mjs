// openid.mjs puts the issuer at ISSUER through what openid-client does with it,
// as a client that nobody here wrote. The first check that fails ends it.
import assert from 'node:assert/strict'
import * as client from 'openid-client'

const { ISSUER, SECRET, PASSWORD } = process.env
const redirect = 'https://web.example.com/callback'
const http = { execute: [client.allowInsecureRequests] }

// A Browser keeps cookies and fills in forms.
class Browser {
  cookies = new Map()

  async ask(to, init = {}) {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const res = await fetch(new URL(to, ISSUER), { ...init, redirect: 'manual', headers: { ...init.headers, cookie } })
    for (const line of res.headers.getSetCookie()) {
      const [, name, value] = /^([^=]*)=([^;]*)/.exec(line)
      this.cookies.set(name, value)
    }
    return { to: res.headers.get('location'), status: res.status, body: await res.text() }
  }

  async submit(page, typed) {
    const [, action] = /<form method="post" action="([^"]*)"/.exec(page.body)
    const fields = new URLSearchParams()
    for (const [, name, value] of page.body.matchAll(/type="hidden" name="([^"]*)" value="([^"]*)"/g)) {
      fields.set(name, value.replace(/&#(\d+);/g, (_, n) => String.fromCharCode(n)).replaceAll('&amp;', '&'))
    }
    for (const [name, value] of Object.entries(typed)) fields.set(name, value)
    return this.ask(action, { method: 'POST', body: fields })
  }

  // through follows the pages until they lead to another site, or end.
  async through(to) {
    let page = await this.ask(to)
    for (let i = 0; i < 8; i++) {
      if (page.to && new URL(page.to, ISSUER).origin !== new URL(ISSUER).origin) return new URL(page.to)
      if (page.to) page = await this.ask(page.to)
      else if (page.body.includes('name="password"')) page = await this.submit(page, { username: 'ada', password: PASSWORD })
      else if (page.body.includes('value="allow"')) page = await this.submit(page, { decision: 'allow' })
      else return page
    }
    assert.fail('no end of pages')
  }
}

const refused = (promise, code) => assert.rejects(promise, (err) => (assert.equal(err.error ?? err.cause?.error, code), true))
const done = (what) => console.log('ok', what)

for (const algorithm of ['oidc', 'oauth2']) {
  const config = await client.discovery(new URL(ISSUER), 'web', SECRET, undefined, { algorithm, ...http })
  assert.equal(config.serverMetadata().issuer, ISSUER)
  assert.ok(config.serverMetadata().supportsPKCE())
}
done('discovery')

const web = await client.discovery(new URL(ISSUER), 'web', SECRET, client.ClientSecretBasic(SECRET), http)
const posting = await client.discovery(new URL(ISSUER), 'web', SECRET, client.ClientSecretPost(SECRET), http)
for (const config of [web, posting]) {
  const tokens = await client.clientCredentialsGrant(config, { scope: 'read' })
  assert.equal(tokens.token_type, 'bearer')
  assert.equal(tokens.scope, 'read')
}
await refused(client.clientCredentialsGrant(web, { scope: 'nonsense' }), 'invalid_scope')
await refused(client.clientCredentialsGrant(web, { resource: 'https://elsewhere.example.com' }), 'invalid_target')
done('client_credentials')

const browser = new Browser()
async function login() {
  const pkceCodeVerifier = client.randomPKCECodeVerifier()
  const [expectedState, expectedNonce] = [client.randomState(), client.randomNonce()]
  const to = client.buildAuthorizationUrl(web, {
    redirect_uri: redirect, scope: 'openid profile read', state: expectedState, nonce: expectedNonce, max_age: '600',
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier), code_challenge_method: 'S256',
  })
  return { back: await browser.through(to), checks: { pkceCodeVerifier, expectedState, expectedNonce, maxAge: 600, idTokenExpected: true } }
}
let { back, checks } = await login()
assert.equal(back.searchParams.get('iss'), ISSUER)
const tokens = await client.authorizationCodeGrant(web, back, checks)
assert.equal(tokens.claims().preferred_username, 'ada')
assert.equal((await client.fetchUserInfo(web, tokens.access_token, tokens.claims().sub)).name, 'Ada')
done('code with PKCE, nonce and max_age')

const foreign = await login()
const unlike = (err) => /"iss"/.test(err.cause.message)
foreign.back.searchParams.set('iss', 'https://evil.example.com')
await assert.rejects(client.authorizationCodeGrant(web, foreign.back, foreign.checks), unlike)
foreign.back.searchParams.delete('iss')
await assert.rejects(client.authorizationCodeGrant(web, foreign.back, foreign.checks), unlike)
done('RFC 9207: the answer of another issuer is noticed')

const active = async (token) => (await client.tokenIntrospection(web, token)).active
assert.equal(await active(tokens.access_token), true)
await refused(client.authorizationCodeGrant(web, back, checks), 'invalid_grant')
assert.equal(await active(tokens.access_token), false)
done('a replayed code revokes its tokens')

;({ back, checks } = await login())
const first = await client.authorizationCodeGrant(web, back, checks)
const second = await client.refreshTokenGrant(web, first.refresh_token)
assert.notEqual(first.refresh_token, second.refresh_token)
assert.equal(second.claims().sub, first.claims().sub)
await refused(client.refreshTokenGrant(web, first.refresh_token), 'invalid_grant')
await refused(client.refreshTokenGrant(web, second.refresh_token), 'invalid_grant')
assert.equal(await active(second.access_token), false)
done('refresh: rotation, reuse revokes the family')

;({ back, checks } = await login())
const third = await client.authorizationCodeGrant(web, back, checks)
assert.equal((await client.tokenIntrospection(web, third.access_token)).sub, third.claims().sub)
await client.tokenRevocation(web, third.access_token)
assert.equal(await active(third.access_token), false)
assert.equal(await active(third.refresh_token), true)
await client.tokenRevocation(web, third.refresh_token)
assert.equal(await active(third.refresh_token), false)
done('introspection, revocation')

const cli = await client.discovery(new URL(ISSUER), 'native', undefined, client.None(), http)
const device = await client.initiateDeviceAuthorization(cli, { scope: 'read' })
const granted = client.pollDeviceAuthorizationGrant(cli, device)
const page = await browser.through(device.verification_uri_complete)
assert.match(page.body, /has access now/)
assert.equal((await granted).scope, 'read')
const denied = await client.initiateDeviceAuthorization(cli, { scope: 'read' })
const form = await browser.ask(denied.verification_uri_complete)
await browser.submit(form, { decision: 'deny' })
await refused(client.pollDeviceAuthorizationGrant(cli, denied), 'access_denied')
done('device code')
