package token_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/auth"
)

func TestAGoodTokenOfEachAlgorithmIsTaken(t *testing.T) {
	v := verifier(t, lists("rsa", "p256", "p384", "ed"), nil)
	for name, tok := range map[string]string{
		"RS256": sign("rsa", head("RS256", "rsa"), good()),
		"PS256": sign("pss", head("PS256", "rsa"), good()),
		"ES256": sign("p256", head("ES256", "p256"), good()),
		"ES384": sign("p384", head("ES384", "p384"), good()),
		"EdDSA": sign("ed", head("EdDSA", "ed"), good()),
	} {
		t.Run(name, func(t *testing.T) {
			p := taken(t, v, tok)
			require.WithinDuration(t, time.Now().Add(5*time.Minute), p.Expiry, 5*time.Second)
			require.Equal(t, &auth.Principal{
				Subject: "ada", Client: "demo", Issuer: issuerURL, TokenID: "1",
				Scopes: []string{"greetings.read", "phrases.read"}, Roles: []string{"admin"}, Expiry: p.Expiry,
			}, p)
		})
	}
}
