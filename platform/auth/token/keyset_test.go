package token_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/auth"
	"example.com/app/platform/auth/token"
	"example.com/app/platform/errs"
)

// gaps asserts that fetches began at least so far apart.
func (i *issuer) gaps(t *testing.T, least time.Duration) {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	for n := 1; n < len(i.fetches); n++ {
		require.GreaterOrEqual(t, i.fetches[n].Sub(i.fetches[n-1]), least, "between fetch %d and %d", n, n+1)
	}
}

// forged is a token by a key that nobody lists.
func forged(n int) string {
	return sign("other", head("RS256", fmt.Sprint("forged-", n)), object{})
}

func TestAU6UnknownKeysCauseOneFetchPerSecond(t *testing.T) {
	var all []string // made before the clock is virtual, where nothing takes time
	for n := range 40 {
		all = append(all, forged(n))
	}
	synctest.Test(t, func(t *testing.T) {
		i := lists("ed")
		v := verifier(t, i, nil)
		ours := sign("ed", head("EdDSA", "ed"), good())
		taken(t, v, ours)
		time.Sleep(10 * time.Second)
		before := i.count()
		var wg sync.WaitGroup
		for n := range 400 {
			wg.Go(func() {
				for range 10 { // 4,000 tokens in ten seconds
					refused(t, v, all[n%len(all)], auth.Key)
					time.Sleep(time.Second)
				}
			})
		}
		for range 50 {
			time.Sleep(199 * time.Millisecond)
			began := time.Now()
			taken(t, v, ours)
			require.Zero(t, time.Since(began), "a known key waits for nothing")
		}
		wg.Wait()
		require.LessOrEqual(t, i.count()-before, 10)
		i.gaps(t, time.Second)
	})
}

func TestAU6WhoNeedsTheSameFetchWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := lists("ed")
		v := verifier(t, i, nil)
		taken(t, v, sign("ed", head("EdDSA", "ed"), good()))
		time.Sleep(10 * time.Second)
		i.list("ed", "p256")
		i.answers(func(ctx context.Context) ([]byte, error) {
			if err := pause(ctx, 2*time.Second); err != nil {
				return nil, err
			}
			i.answers(nil)
			return i.Fetch(ctx)
		})
		before, began, tok := i.count(), time.Now(), sign("p256", head("ES256", "p256"), good())
		var wg sync.WaitGroup
		for range 400 {
			wg.Go(func() { taken(t, v, tok) })
		}
		wg.Wait()
		require.Equal(t, 2*time.Second, time.Since(began))
		require.Equal(t, before+2, i.count()) // one, which counts its second half too
	})
}

// pause waits for d or for ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestAU6KnownKeysWorkWhateverHappensToTheList(t *testing.T) {
	answer := func(document string) func(context.Context) ([]byte, error) {
		return func(context.Context) ([]byte, error) { return []byte(document), nil }
	}
	for name, fetch := range map[string]func(context.Context) ([]byte, error){
		"down":           down,
		"nothing":        answer(""),
		"garbage":        answer("<html>502 Bad Gateway</html>"),
		"null":           answer("null"),
		"an array":       answer("[]"),
		"no keys":        answer(`{"keys":[]}`),
		"keys are null":  answer(`{"keys":null}`),
		"keys are text":  answer(`{"keys":"rsa"}`),
		"no fit key":     answer(`{"keys":[{"kty":"oct","k":"AAAA"},{},null,7]}`),
		"keys twice":     answer(`{"keys":[],"keys":[]}`),
		"too many":       answer(`{"keys":[` + string(bytes.Repeat([]byte("{},"), 1000)) + `{}]}`),
		"huge":           answer(string(bytes.Repeat([]byte(" "), 1<<20+1))),
		"slow":           func(ctx context.Context) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() },
		"slow and stern": func(ctx context.Context) ([]byte, error) { return nil, pause(context.WithoutCancel(ctx), time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := lists("ed")
				v := verifier(t, i, nil)
				ours := sign("ed", head("EdDSA", "ed"), with(good(), object{"exp": time.Now().Unix() + 7200}))
				taken(t, v, ours)
				i.answers(fetch)
				strange := forged(0)
				for range 60 { // an hour, through many refreshes
					time.Sleep(time.Minute)
					began := time.Now()
					taken(t, v, ours)
					require.Zero(t, time.Since(began))
					refused(t, v, strange, auth.Key)
					require.LessOrEqual(t, time.Since(began), 3*time.Second)
				}
				i.gaps(t, time.Second)

				i.list("ed", "p256")
				i.answers(nil)
				time.Sleep(time.Minute)
				taken(t, v, sign("p256", head("ES256", "p256"), good()))
			})
		})
	}
}

func TestAU6ADocumentBeyondMeasureIsNotRead(t *testing.T) {
	ed := jose.JSONWebKey{Key: keys()["ed"].Public(), KeyID: "ed"}
	entry := text(ed)
	document := append(text(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{ed}}), '\n')
	for name, test := range map[string]struct {
		document []byte
		taken    bool
	}{
		"1 MiB":         {append(document, bytes.Repeat([]byte(" "), 1<<20-len(document))...), true},
		"a byte more":   {append(document, bytes.Repeat([]byte(" "), 1<<20-len(document)+1)...), false},
		"100 keys":      {[]byte(`{"keys":[` + strings.Repeat(string(entry)+",", 99) + string(entry) + "]}"), true},
		"one key more":  {[]byte(`{"keys":[` + strings.Repeat(string(entry)+",", 100) + string(entry) + "]}"), false},
		"one unfit key": {[]byte(`{"keys":[{},` + string(entry) + "]}"), true},
	} {
		t.Run(name, func(t *testing.T) {
			i := lists()
			i.answers(func(context.Context) ([]byte, error) { return test.document, nil })
			tok := sign("ed", head("EdDSA", "ed"), good())
			if v := verifier(t, i, nil); test.taken {
				taken(t, v, tok)
			} else {
				refused(t, v, tok, auth.KeysUnavailable)
			}
		})
	}
}

func TestATokenThatNamesNoKeyIsTriedAgainstEight(t *testing.T) {
	var list []jose.JSONWebKey
	var private []ed25519.PrivateKey
	for n := range 9 {
		public, key, err := ed25519.GenerateKey(rand.Reader)
		require.NoError(t, err)
		list, private = append(list, jose.JSONWebKey{Key: public, KeyID: fmt.Sprint(n)}), append(private, key)
	}
	i := lists()
	i.answers(func(context.Context) ([]byte, error) { return json.Marshal(jose.JSONWebKeySet{Keys: list}) })
	v := verifier(t, i, nil)
	for n, key := range private {
		input := encode(text(without(head("EdDSA", ""), "kid"))) + "." + encode(text(good()))
		tok := input + "." + encode(ed25519.Sign(key, []byte(input)))
		if n < 8 {
			taken(t, v, tok)
		} else {
			refused(t, v, tok, auth.Signature)
		}
	}
}

func TestAU6AWaitEndsWithTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := lists("ed")
		v := verifier(t, i, nil)
		taken(t, v, sign("ed", head("EdDSA", "ed"), good()))
		time.Sleep(10 * time.Second)
		i.answers(func(ctx context.Context) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() })
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := v.Verify(ctx, forged(0))
		require.Equal(t, 100*time.Millisecond, time.Since(began))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, errs.Unavailable, errs.Of(err))
		require.Equal(t, auth.KeysUnavailable, auth.Reason(err))
	})
}

func TestAU7ANewKeyWorksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := lists("ed")
		v := verifier(t, i, nil)
		taken(t, v, sign("ed", head("EdDSA", "ed"), good()))
		time.Sleep(10 * time.Second)
		i.list("ed", "p256")
		began := time.Now()
		taken(t, v, sign("p256", head("ES256", "p256"), good()))
		require.Zero(t, time.Since(began))
	})
}

func TestAU7ANewKeyWorksSoonAmongForgedOnes(t *testing.T) {
	strange := forged(0)
	synctest.Test(t, func(t *testing.T) {
		i := lists("ed")
		v := verifier(t, i, nil)
		taken(t, v, sign("ed", head("EdDSA", "ed"), good()))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			for pause(ctx, 10*time.Millisecond) == nil {
				_, _ = v.Verify(ctx, strange)
			}
		})
		time.Sleep(10*time.Second + 500*time.Millisecond)
		i.list("ed", "p256")
		tok, began := sign("p256", head("ES256", "p256"), good()), time.Now()
		for {
			if _, err := v.Verify(t.Context(), tok); err == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		require.LessOrEqual(t, time.Since(began), 1100*time.Millisecond)
		cancel()
		wg.Wait()
		i.gaps(t, time.Second)
	})
}

func TestAU7ARemovedKeyIsRefusedWithinRefreshAlsoForRememberedTokens(t *testing.T) {
	for _, refresh := range []time.Duration{5 * time.Minute, 30 * time.Second} {
		t.Run(refresh.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := lists("ed", "p256")
				v := verifier(t, i, func(c *token.Config) {
					c.Keys = run(t, token.KeySetConfig{Fetch: i.Fetch, Refresh: refresh})
				})
				tok := sign("p256", head("ES256", "p256"), with(good(), object{"exp": time.Now().Unix() + 7200}))
				for range 5 {
					time.Sleep(time.Second)
					taken(t, v, tok)
				}
				i.list("ed")
				removed := time.Now()
				for {
					_, err := v.Verify(t.Context(), tok)
					if err != nil {
						require.Equal(t, auth.Key, auth.Reason(err))
						break
					}
					time.Sleep(time.Second)
				}
				require.LessOrEqual(t, time.Since(removed), refresh)
				require.Greater(t, time.Since(removed), refresh/2, "or the test shows nothing")
				taken(t, v, sign("ed", head("EdDSA", "ed"), good()))
			})
		})
	}
}

func TestAU7AnUnknownKeySpeedsUpTheEndOfARemovedOne(t *testing.T) {
	strange := forged(0)
	synctest.Test(t, func(t *testing.T) {
		i := lists("ed", "p256")
		v := verifier(t, i, nil)
		tok := sign("p256", head("ES256", "p256"), good())
		taken(t, v, tok)
		time.Sleep(10 * time.Second)
		taken(t, v, tok)
		i.list("ed")
		refused(t, v, strange, auth.Key)
		refused(t, v, tok, auth.Key)
	})
}

func TestAU7AKeyThatKeepsItsNameAndChangesEndsRememberedTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := lists("rsa")
		v := verifier(t, i, nil)
		tok := sign("rsa", head("RS256", "rsa"), with(good(), object{"exp": time.Now().Unix() + 7200}))
		taken(t, v, tok)
		i.list("other")
		i.rename("rsa")
		time.Sleep(6 * time.Minute)
		refused(t, v, tok, auth.Signature)
		taken(t, v, sign("other", head("RS256", "rsa"), good()))
	})
}

func TestAU8WithoutAnIssuerAtTheStartTokensAreUnavailableAndHeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := lists("ed")
		i.answers(down)
		v := verifier(t, i, nil)
		tok := sign("ed", head("EdDSA", "ed"), with(good(), object{"exp": time.Now().Unix() + 7200}))
		for range 100 {
			began := time.Now()
			refused(t, v, tok, auth.KeysUnavailable)
			require.LessOrEqual(t, time.Since(began), 3*time.Second)
			time.Sleep(300 * time.Millisecond)
		}
		refused(t, v, "no token", auth.Malformed) // which needs no keys to be seen
		i.gaps(t, time.Second)
		i.answers(nil)
		time.Sleep(time.Second)
		taken(t, v, tok)
	})
}

func TestAU8TheKeysComeBackWithoutBeingAskedFor(t *testing.T) {
	for n := range 10 { // outages of many lengths, lest one heals by luck
		outage := time.Hour + time.Duration(n)*7*time.Second
		t.Run(outage.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := lists("ed")
				i.answers(down)
				v := verifier(t, i, nil)
				time.Sleep(outage)
				require.Less(t, i.count(), 350, "it asks less and less often")
				i.answers(func(ctx context.Context) ([]byte, error) { // slowly, so that it shows who asked
					if err := pause(ctx, time.Second); err != nil {
						return nil, err
					}
					return json.Marshal(jose.JSONWebKeySet{Keys: i.keys})
				})
				time.Sleep(16 * time.Second)
				began := time.Now()
				taken(t, v, sign("ed", head("EdDSA", "ed"), good()))
				require.Zero(t, time.Since(began))
			})
		})
	}
}

func TestNobodyWaitsForAKeySetThatDoesNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := lists("ed")
		k := token.NewKeySet(token.KeySetConfig{Fetch: i.Fetch})
		v := verifier(t, i, func(c *token.Config) { c.Keys = k })
		tok := sign("ed", head("EdDSA", "ed"), good())
		began := time.Now()
		refused(t, v, tok, auth.KeysUnavailable)
		require.Equal(t, 3*time.Second, time.Since(began), "it may still begin to")

		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { require.NoError(t, k.Run(ctx)) })
		taken(t, v, tok)
		cancel()
		wg.Wait()
		time.Sleep(10 * time.Second)
		began = time.Now()
		taken(t, v, tok)
		refused(t, v, forged(0), auth.Key)
		require.Zero(t, time.Since(began))
	})
}

func TestAKeySetWithoutASourceSaysSo(t *testing.T) {
	err := token.NewKeySet(token.KeySetConfig{}).Run(t.Context())
	require.Equal(t, errs.Invalid, errs.Of(err))
}

func TestTheSameNamesFetchAtTheSameTimesAndOthersDoNot(t *testing.T) {
	times := func(name string) (at []time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			i, began := lists("ed"), time.Now()
			run(t, token.KeySetConfig{Fetch: i.Fetch, Name: name})
			time.Sleep(time.Hour)
			i.mu.Lock()
			defer i.mu.Unlock()
			for _, f := range i.fetches {
				at = append(at, f.Sub(began))
			}
		})
		return at
	}
	require.Equal(t, times("greeter-1"), times("greeter-1"))
	require.NotEqual(t, times("greeter-1"), times("greeter-2"))
	for n, at := range times("greeter-1")[1:] {
		gap := at - times("greeter-1")[n]
		require.LessOrEqual(t, gap, 5*time.Minute)
		require.GreaterOrEqual(t, gap, 4*time.Minute)
	}
}

func TestAnIssuerThatNamesNoKeysMayChangeThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := lists("rsa")
		i.rename("")
		v := verifier(t, i, nil)
		plain := without(head("RS256", ""), "kid")
		taken(t, v, sign("rsa", plain, good()))
		refused(t, v, sign("rsa", head("RS256", "rsa"), good()), auth.Key)
		time.Sleep(10 * time.Second)
		i.list("other")
		i.rename("")
		taken(t, v, sign("other", plain, good()))
		refused(t, v, sign("rsa", plain, good()), auth.Signature)
	})
}
