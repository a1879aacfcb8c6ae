package token_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/auth"
	"example.com/app/platform/auth/token"
)

// series are the values of a metric by the value of its label, if it has one.
func series(t *testing.T, r *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	require.NoError(t, err)
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			label := ""
			if len(m.GetLabel()) > 0 {
				label = m.GetLabel()[0].GetValue()
			}
			if f.GetName() == name {
				all[label] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return all
}

// hits is how often a token was remembered.
func hits(t *testing.T, r *prometheus.Registry) int {
	t.Helper()
	return int(series(t, r, "auth_token_cache_hits_total")[""])
}

// counted is a verifier whose metrics can be read.
func counted(t *testing.T, i *issuer, edit func(*token.Config)) (*token.Verifier, *prometheus.Registry) {
	t.Helper()
	r := prometheus.NewRegistry()
	return verifier(t, i, func(c *token.Config) {
		c.Metrics = r
		if edit != nil {
			edit(c)
		}
	}), r
}

func TestATokenIsRememberedForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, r := counted(t, lists("ed"), nil)
		tok := sign("ed", head("EdDSA", "ed"), good())
		first := taken(t, v, tok)
		time.Sleep(59 * time.Second)
		require.Same(t, first, taken(t, v, tok))
		require.Equal(t, 1, hits(t, r))
		time.Sleep(time.Second)
		taken(t, v, tok)
		require.Equal(t, 1, hits(t, r))
		taken(t, v, tok)
		require.Equal(t, 2, hits(t, r))
	})
}

func TestARememberedTokenExpiresOnTime(t *testing.T) {
	for _, leeway := range []time.Duration{10 * time.Second, 30 * time.Second, time.Minute} {
		t.Run(leeway.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := verifier(t, lists("ed"), func(c *token.Config) { c.Leeway = leeway })
				tok := sign("ed", head("EdDSA", "ed"), with(good(), object{"exp": time.Now().Unix() + 10}))
				left := 10*time.Second + leeway
				for range int(left / time.Second) {
					taken(t, v, tok)
					time.Sleep(time.Second)
				}
				refused(t, v, tok, auth.Expired)
			})
		})
	}
}

func TestARememberedTokenIsForgottenWhenTheClockIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var back time.Duration
		v := verifier(t, lists("ed"), func(c *token.Config) {
			c.Now = func() time.Time { return time.Now().Add(-back) }
		})
		tok := sign("ed", head("EdDSA", "ed"), good())
		taken(t, v, tok)
		back = 20 * time.Second
		taken(t, v, tok)
		back = 2 * time.Minute
		refused(t, v, tok, auth.NotYet)
	})
}

func TestARefusalIsNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, r := counted(t, lists("ed"), nil)
		tok := sign("ed", head("EdDSA", "ed"), with(good(), object{"nbf": time.Now().Unix() + 60}))
		refused(t, v, tok, auth.NotYet)
		refused(t, v, tok, auth.NotYet)
		time.Sleep(30 * time.Second)
		taken(t, v, tok)
		require.Zero(t, hits(t, r))
	})
}

func TestTheCacheIsBounded(t *testing.T) {
	const size = 64
	v, r := counted(t, lists("ed"), func(c *token.Config) { c.CacheSize = size })
	var all []string
	for n := range 10 * size {
		all = append(all, sign("ed", head("EdDSA", "ed"), with(good(), object{"jti": fmt.Sprint(n)})))
		taken(t, v, all[n])
		taken(t, v, all[0]) // is used and stays
	}
	require.Equal(t, 10*size, hits(t, r), "what is used is not forgotten")
	for _, tok := range all {
		_, err := v.Verify(t.Context(), tok)
		require.NoError(t, err)
	}
	require.LessOrEqual(t, hits(t, r)-10*size, size)
	require.Less(t, hits(t, r)-10*size, size, "each one displaced others")
}

func TestWithoutACacheEveryTokenIsVerified(t *testing.T) {
	v, r := counted(t, lists("ed"), func(c *token.Config) { c.CacheSize = -1 })
	tok := sign("ed", head("EdDSA", "ed"), good())
	taken(t, v, tok)
	taken(t, v, tok)
	require.Zero(t, hits(t, r))
}

func TestAVerifierMayBeUsedFromManyGoroutines(t *testing.T) {
	v := verifier(t, lists("ed", "p256"), func(c *token.Config) { c.CacheSize = 32 })
	var all []string
	for n := range 20 {
		all = append(all, sign("ed", head("EdDSA", "ed"), with(good(), object{"sub": fmt.Sprint(n)})))
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				for n, tok := range all {
					p, err := v.Verify(t.Context(), tok)
					if err != nil || p.Subject != fmt.Sprint(n) {
						t.Errorf("Verify of the token of %d = %v, %v", n, p, err)
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestEX4NoTokenMakesANewSeries(t *testing.T) {
	i := lists("ed")
	v, r := counted(t, i, nil)
	tok := sign("ed", head("EdDSA", "ed"), good())
	taken(t, v, tok)
	taken(t, v, tok)
	for n := range 500 {
		h := with(head("EdDSA", fmt.Sprint("kid-", n)), object{"x": n})
		_, err := v.Verify(t.Context(), sign("ed", h, with(good(), object{"iss": fmt.Sprint(n), "sub": fmt.Sprint(n)})))
		require.Error(t, err)
		_, err = v.Verify(t.Context(), sign("ed", head(fmt.Sprint("alg-", n), "ed"), good()))
		require.Error(t, err)
	}
	require.Equal(t, map[string]float64{"OK": 2, auth.Algorithm: 500, auth.Key: 500}, series(t, r, "auth_token_verifications_total"))
	require.Equal(t, map[string]float64{"": 1}, series(t, r, "auth_token_cache_hits_total"))
	require.Equal(t, map[string]float64{"": 1}, series(t, r, "auth_jwks_keys"))
	require.Len(t, series(t, r, "auth_jwks_fetches_total"), 2)
}

func TestAConfigThatCannotBeMeantIsRefused(t *testing.T) {
	k := token.NewKeySet(token.KeySetConfig{})
	whole := token.Config{Issuer: issuerURL, Audience: audience, Keys: k}
	_, err := token.New(whole)
	require.NoError(t, err)
	for name, edit := range map[string]func(*token.Config){
		"no issuer":       func(c *token.Config) { c.Issuer = "" },
		"no audience":     func(c *token.Config) { c.Audience = "" },
		"no keys":         func(c *token.Config) { c.Keys = nil },
		"negative leeway": func(c *token.Config) { c.Leeway = -time.Second },
		"AU3 leeway":      func(c *token.Config) { c.Leeway = 61 * time.Second },
		"negative cache":  func(c *token.Config) { c.CacheFor = -time.Second },
		"long cache":      func(c *token.Config) { c.CacheFor = 61 * time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := whole
			edit(&cfg)
			_, err := token.New(cfg)
			require.Error(t, err)
		})
	}
}
