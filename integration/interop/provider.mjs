// provider.mjs is an issuer that nobody here wrote: oidc-provider, whose access
// tokens are JWTs (RFC 9068) signed with RS256 for the resource "app" (RFC 8707).
// It prints its URL once it answers, and ends with its standard input.
import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import { Provider } from 'oidc-provider'

const server = createServer()
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const provider = new Provider(issuer, {
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'foreign' }] },
    clients: [{
      client_id: 'service', client_secret: process.env.SECRET, grant_types: ['client_credentials'], response_types: [], redirect_uris: [],
    }],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'https://app.example.com',
        getResourceServerInfo: () => ({
          scope: 'greetings.read phrases.write', audience: 'app', accessTokenFormat: 'jwt', accessTokenTTL: 300, jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  })
  server.on('request', provider.callback())
  console.log(issuer)
})
process.stdin.resume().on('end', () => process.exit(0))
