package token_test

import (
	"crypto"
	"fmt"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/auth/token"
)

// BenchmarkVerify compares, in one run, a token that is verified anew, one that
// is remembered, and what go-jose alone takes for signature and claims.
func BenchmarkVerify(b *testing.B) {
	for _, by := range []struct{ key, alg string }{{"rsa", "RS256"}, {"p256", "ES256"}, {"ed", "EdDSA"}} {
		tok := sign(by.key, head(by.alg, by.key), with(good(), object{"exp": time.Now().Unix() + 3600}))
		for name, size := range map[string]int{"cached": 0, "anew": -1} {
			v := verifier(b, lists(by.key), func(c *token.Config) { c.CacheSize = size })
			taken(b, v, tok)
			b.Run(fmt.Sprint(by.alg, "/", name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := v.Verify(b.Context(), tok); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run(by.alg+"/go-jose", func(b *testing.B) {
			b.ReportAllocs()
			public, alg := keys()[by.key].Public(), []jose.SignatureAlgorithm{jose.SignatureAlgorithm(by.alg)}
			for b.Loop() {
				if err := bare(tok, public, alg); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// bare is what a service without this package would do.
func bare(tok string, public crypto.PublicKey, alg []jose.SignatureAlgorithm) error {
	j, err := jwt.ParseSigned(tok, alg)
	if err != nil {
		return err
	}
	var claims jwt.Claims
	var more struct {
		Client, Scope string
		Roles         []string
	}
	if err := j.Claims(public, &claims, &more); err != nil {
		return err
	}
	return claims.Validate(jwt.Expected{Issuer: issuerURL, AnyAudience: jwt.Audience{audience}, Time: time.Now()})
}

// BenchmarkVerifyParallel shows what the cache's locks cost among many tokens.
func BenchmarkVerifyParallel(b *testing.B) {
	v := verifier(b, lists("ed"), nil)
	var all []string
	for n := range 1000 {
		all = append(all, sign("ed", head("EdDSA", "ed"), with(good(), object{"jti": fmt.Sprint(n), "exp": time.Now().Unix() + 3600})))
		taken(b, v, all[n])
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for n := 0; pb.Next(); n++ {
			if _, err := v.Verify(b.Context(), all[n%len(all)]); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkRefuse shows what a forged token costs who gets it.
func BenchmarkRefuse(b *testing.B) {
	v := verifier(b, lists("rsa", "p256", "ed"), nil)
	taken(b, v, sign("ed", head("EdDSA", "ed"), good()))
	for name, tok := range map[string]string{
		"malformed":   "no.token.here",
		"none":        sign("rsa", head("none", "rsa"), good()),
		"unknown key": forged(0),
		"signature":   sign("other", head("RS256", "rsa"), good()),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := v.Verify(b.Context(), tok)
				require.Error(b, err)
			}
		})
	}
}
