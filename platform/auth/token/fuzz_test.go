package token_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/auth"
	"example.com/app/platform/auth/token"
	"example.com/app/platform/errs"
)

// answered asserts what holds for every answer.
func answered(t *testing.T, p *auth.Principal, err error) {
	t.Helper()
	require.Equal(t, err == nil, p != nil)
	if err != nil {
		require.Equal(t, errs.Unauthenticated, errs.Of(err))
		require.True(t, strings.HasPrefix(auth.Reason(err), "TOKEN_"), auth.Reason(err))
		require.Less(t, len(err.Error()), 200)
	}
}

// Nobody makes a token by changing one: what is taken is what was signed.
func FuzzVerify(f *testing.F) {
	v := verifier(f, lists("rsa", "p256", "ed"), func(c *token.Config) { c.CacheSize = -1 })
	var real []string
	for by, alg := range map[string]string{"rsa": "RS256", "p256": "ES256", "ed": "EdDSA"} {
		real = append(real, sign(by, head(alg, by), with(good(), object{"exp": time.Now().Unix() + 1e6})))
	}
	slices.Sort(real)
	for _, tok := range real {
		f.Add(tok)
		f.Add(tok[:len(tok)-2])
		f.Add(tok[strings.IndexByte(tok, '.'):])
	}
	f.Add(encode([]byte(`{"alg":"none","typ":"at+jwt"}`)) + "." + encode(text(good())) + ".")
	f.Add(mac([]byte("secret"), head("HS256", "rsa")))
	f.Add("..")
	f.Fuzz(func(t *testing.T, tok string) {
		p, err := v.Verify(t.Context(), tok)
		answered(t, p, err)
		require.Equal(t, slices.Contains(real, tok), p != nil)
	})
}

// What an issuer signs is taken only where it says what it must, as another
// reader of JSON sees it.
func FuzzVerifySigned(f *testing.F) {
	v := verifier(f, lists("ed"), func(c *token.Config) { c.CacheSize = -1 })
	h := string(text(head("EdDSA", "ed")))
	f.Add(h, string(text(with(good(), object{"exp": time.Now().Unix() + 1e6}))))
	f.Add(h, `{"iss":"x","iss":"https://issuer.example"}`)
	f.Add(h, `{"exp":1e400,"aud":[[]]}`)
	f.Add(`{"alg":"EdDSA","typ":"AT+jwt","kid":null}`, string(text(good())))
	f.Add(`{"alg":"EdDSA","typ":"at+jwt","crit":["b64"],"b64":false}`, `{}`)
	f.Fuzz(func(t *testing.T, h, payload string) {
		p, err := v.Verify(t.Context(), sign("ed", h, payload))
		answered(t, p, err)
		if err != nil {
			return
		}
		var header, claims map[string]any
		require.NoError(t, json.Unmarshal([]byte(h), &header))
		require.NoError(t, json.Unmarshal([]byte(payload), &claims))
		require.Equal(t, "EdDSA", header["alg"])
		require.NotContains(t, header, "crit")
		require.Equal(t, issuerURL, claims["iss"])
		require.Equal(t, claims["sub"], p.Subject)
		require.Equal(t, claims["client_id"], p.Client)
		require.Equal(t, claims["jti"], p.TokenID)
		require.Equal(t, int64(claims["exp"].(float64)), p.Expiry.Unix())
		require.Greater(t, claims["exp"].(float64), float64(time.Now().Unix()-31))
		list, _ := claims["aud"].([]any)
		require.True(t, claims["aud"] == audience || slices.Contains(list, audience))
	})
}

// listed reports whether a document has this Ed25519 key in it.
func listed(document []byte, public any) bool {
	var d struct{ Keys []struct{ X string } }
	_ = json.Unmarshal(document, &d) // an entry may be anything
	for _, k := range d.Keys {
		if x, err := base64.RawURLEncoding.DecodeString(k.X); err == nil && bytes.Equal(x, public.(ed25519.PublicKey)) {
			return true
		}
	}
	return false
}

// No document makes a verifier take what the keys in it did not sign.
func FuzzJWKS(f *testing.F) {
	var one, private bytes.Buffer
	must(json.NewEncoder(&one).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: keys()["ed"].Public(), KeyID: "ed", Use: "sig"}}}))
	must(json.NewEncoder(&private).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: keys()["ed"], KeyID: "ed"}}}))
	tok := sign("ed", head("EdDSA", "ed"), with(good(), object{"exp": time.Now().Unix() + 1e6}))
	x := string(text(keys()["ed"].Public()))
	x = strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(strings.Trim(x, `"`)), "=")

	for _, seed := range []string{
		one.String(), private.String(), `{"keys":[]}`, `{}`, `[]`, `null`, "", `{"keys":[null,1,"x",[],{}]}`,
		`{"keys":[{"kty":"oct","k":"AAAA"}]}`, `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`,
		`{"keys":[{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}]}`, `{"keys":[{"kty":"RSA","n":"","e":""}]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"` + x + `","kid":"ed","use":"enc"}]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"` + x + `","kid":"ed","key_ops":["verify"]}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		fetched := make(chan struct{}, 100)
		k := run(t, token.KeySetConfig{Timeout: time.Second, Fetch: func(context.Context) ([]byte, error) {
			fetched <- struct{}{}
			return document, nil
		}})
		v, err := token.New(token.Config{Issuer: issuerURL, Audience: audience, Keys: k})
		require.NoError(t, err)
		<-fetched
		for _, attempt := range []string{tok, forged(0), mac(document, head("HS256", "ed"))} {
			p, err := v.Verify(t.Context(), attempt)
			if err == nil {
				require.Equal(t, tok, attempt)
				require.True(t, listed(document, keys()["ed"].Public()), "%s", document)
				require.Equal(t, "ada", p.Subject)
				continue
			}
			require.Contains(t, []errs.Kind{errs.Unauthenticated, errs.Unavailable}, errs.Of(err))
		}
	})
}
