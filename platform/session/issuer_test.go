package session_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestKeysThatCannotBeReadDoNotStopALogin has an issuer list keys of tomorrow
// beside its own (RFC 7517 section 5).
func TestKeysThatCannotBeReadDoNotStopALogin(t *testing.T) {
	for name, odd := range map[string]any{
		"kty":     map[string]any{"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA", "kid": "pq"},
		"crv":     map[string]any{"kty": "EC", "crv": "secp256k1", "x": "AAAA", "y": "AAAA"},
		"Ed448":   map[string]any{"kty": "OKP", "crv": "Ed448", "x": "AAAA"},
		"bad x5c": map[string]any{"kty": "RSA", "n": "AQAB", "e": "AQAB", "x5c": []string{"AAAA"}},
		"no key":  "AAAA",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.issuer.odd = []any{odd}
			w.logIn()
			require.NotEmpty(t, w.token())
		})
	}
}

func TestAKeyThatWasTakenBackProvesNothingSoonAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.logIn()
		var err error
		w.issuer.show, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		w.logIn()
		sleep(11 * time.Minute)
		back := w.visitIssuer("/auth/login")
		require.Equal(t, http.StatusUnauthorized, w.ask(http.MethodGet, "/auth/callback?"+back.Encode()).Code)
	})
}

// TestAMuteIssuerIsAskedOnceByAll has many log in at an issuer that takes
// connections and says nothing.
func TestAMuteIssuerIsAskedOnceByAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.issuer.mute = true
		began := time.Now()
		var all sync.WaitGroup
		for range 6 {
			all.Go(func() {
				if code := w.ask(http.MethodGet, "/auth/login").Code; code != http.StatusServiceUnavailable {
					t.Errorf("code %d", code)
				}
			})
		}
		all.Wait()
		require.Less(t, time.Since(began), 11*time.Second)
	})
}

// TestAMuteIssuerHoldsUpOneRequestOfAPage is about the last minute of an access
// token.
func TestAMuteIssuerHoldsUpOneRequestOfAPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.logIn()
		sleep(4*time.Minute + time.Second)
		w.issuer.mute = true
		first := make(chan int)
		go func() { first <- w.ask(http.MethodGet, "/v1/greetings").Code }()
		synctest.Wait()
		began := time.Now()
		for range 5 {
			require.Equal(t, http.StatusOK, w.ask(http.MethodGet, "/v1/greetings").Code)
			require.Equal(t, "Bearer access-2-", w.backend.last().Get("Authorization"))
		}
		require.Zero(t, time.Since(began))
		require.Equal(t, http.StatusOK, <-first)
	})
}
