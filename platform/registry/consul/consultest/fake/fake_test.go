package fake_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/registry/consul/consultest/fake"
	"example.com/app/platform/registry/consul/consultest/state"
)

const web = `PUT agent/service/register {"Name":"web","Port":80,"Check":{"TTL":"15s","Status":"passing","DeregisterCriticalServiceAfter":"10m"}}`

// ask puts a request, as in "GET health/…", and returns the answer, or nil if
// the connection was cut.
func ask(ctx context.Context, a http.Handler, call string) (answer *httptest.ResponseRecorder) {
	method, rest, _ := strings.Cut(call, " ")
	path, body, _ := strings.Cut(rest, " ")
	answer = httptest.NewRecorder()
	defer func() {
		if cut := recover(); cut != nil {
			if err, ok := cut.(error); !ok || err != http.ErrAbortHandler { //nolint:errorlint // it is panicked with as it is
				panic(cut)
			}
			answer = nil
		}
	}()
	a.ServeHTTP(answer, httptest.NewRequestWithContext(ctx, method, "/v1/"+path, strings.NewReader(body)))
	return answer
}

// later is ask in the background.
func later(ctx context.Context, a http.Handler, call string) <-chan *httptest.ResponseRecorder {
	answer := make(chan *httptest.ResponseRecorder, 1)
	go func() { answer <- ask(ctx, a, call) }()
	synctest.Wait()
	return answer
}

// play runs a test with two agents of one datacentre, in virtual time.
func play(t *testing.T, test func(t *testing.T, a, b *fake.Agent, s *state.Store)) {
	synctest.Test(t, func(t *testing.T) {
		s := state.New("dc1")
		test(t, fake.New("a", s), fake.New("b", s), s)
	})
}

func index(t *testing.T, a *httptest.ResponseRecorder) string {
	t.Helper()
	require.NotNil(t, a)
	require.Equal(t, http.StatusOK, a.Code, "%s", a.Body)
	return a.Header().Get("X-Consul-Index")
}

func TestQuestionWaitsForAsLongAsItAsksAndASixteenthMore(t *testing.T) {
	play(t, func(t *testing.T, a, _ *fake.Agent, _ *state.Store) {
		at := index(t, ask(t.Context(), a, "GET health/service/web"))
		begun := time.Now()
		held := later(t.Context(), a, "GET health/service/web?wait=1m&index="+at)
		now, most := a.Held()
		require.Equal(t, []int{1, 1}, []int{now, most})
		require.Equal(t, at, index(t, <-held))
		require.GreaterOrEqual(t, time.Since(begun), time.Minute)
		require.LessOrEqual(t, time.Since(begun), time.Minute+time.Minute/16)
		now, most = a.Held()
		require.Equal(t, []int{0, 1}, []int{now, most})
	})
}

func TestQuestionEndsWithItsClient(t *testing.T) {
	play(t, func(t *testing.T, a, _ *fake.Agent, _ *state.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		held := later(ctx, a, "GET health/service/web?index=99")
		cancel()
		require.Nil(t, <-held)
	})
}

func TestKeyThatDoesNotExistIsWaitedForInSilence(t *testing.T) {
	play(t, func(t *testing.T, a, b *fake.Agent, _ *state.Store) {
		ask(t.Context(), a, "PUT kv/other x")
		at := ask(t.Context(), a, "GET kv/k").Header().Get("X-Consul-Index")
		held := later(t.Context(), a, "GET kv/k?index="+at)
		ask(t.Context(), b, "PUT kv/other y")
		synctest.Wait()
		require.Empty(t, held)
		ask(t.Context(), b, "PUT kv/k z")
		require.Contains(t, (<-held).Body.String(), `"Key":"k"`)
	})
}

func TestAgentsOfADatacentreTellTheSameStory(t *testing.T) {
	play(t, func(t *testing.T, a, b *fake.Agent, _ *state.Store) {
		ask(t.Context(), a, web)
		require.Contains(t, ask(t.Context(), b, "GET health/service/web?passing").Body.String(), `"ID":"web"`)
		require.Equal(t, "{}", ask(t.Context(), b, "GET agent/services").Body.String(), "an agent knows its own")
	})
}

func TestHeartbeatsKeepAServiceAndSilenceCostsItItsPlace(t *testing.T) {
	play(t, func(t *testing.T, a, b *fake.Agent, _ *state.Store) {
		passing := func() bool {
			return ask(t.Context(), b, "GET health/service/web?passing").Body.String() != "[]"
		}
		ask(t.Context(), a, web)
		for range 10 {
			time.Sleep(14 * time.Second)
			require.True(t, passing())
			ask(t.Context(), a, "PUT agent/check/pass/service:web")
		}
		time.Sleep(16 * time.Second)
		synctest.Wait()
		require.False(t, passing())
		ask(t.Context(), a, "PUT agent/check/pass/service:web")
		require.True(t, passing())
		time.Sleep(10 * time.Minute)
		require.Contains(t, ask(t.Context(), b, "GET health/service/web").Body.String(), "critical")
		time.Sleep(16 * time.Second)
		synctest.Wait()
		require.Equal(t, "[]", ask(t.Context(), b, "GET health/service/web").Body.String())
	})
}

func TestCollectionOfRubbishTakesAMinuteAtLeast(t *testing.T) {
	play(t, func(t *testing.T, a, _ *fake.Agent, _ *state.Store) {
		ask(t.Context(), a, strings.Replace(web, "10m", "1s", 1))
		ask(t.Context(), a, "PUT agent/check/fail/service:web")
		time.Sleep(59 * time.Second)
		require.NotEqual(t, "{}", ask(t.Context(), a, "GET agent/services").Body.String())
		time.Sleep(2 * time.Second)
		require.Equal(t, "{}", ask(t.Context(), a, "GET agent/services").Body.String())
	})
}

func TestRestartForgets(t *testing.T) {
	play(t, func(t *testing.T, a, b *fake.Agent, _ *state.Store) {
		ask(t.Context(), a, web)
		a.Restart()
		require.Equal(t, "{}", ask(t.Context(), a, "GET agent/services").Body.String())
		require.Equal(t, "[]", ask(t.Context(), b, "GET health/service/web").Body.String())
		require.Equal(t, http.StatusNotFound, ask(t.Context(), a, "PUT agent/check/pass/service:web").Code)
		time.Sleep(time.Hour)
	})
}

func TestFaultsSpoilAnswersUntilTheyAreRemoved(t *testing.T) {
	for _, c := range []struct {
		fault fake.Fault
		name  string
		seen  func(t *testing.T, x *httptest.ResponseRecorder)
	}{
		{fake.Keep(0), "empty answers", func(t *testing.T, x *httptest.ResponseRecorder) { require.Equal(t, "[]", x.Body.String()) }},
		{fake.Keep(1), "answers cut to 1", func(t *testing.T, x *httptest.ResponseRecorder) {
			require.Equal(t, 1, strings.Count(x.Body.String(), `"Port":8`))
		}},
		{fake.Index(0), "index 0", func(t *testing.T, x *httptest.ResponseRecorder) { require.Equal(t, "0", index(t, x)) }},
		{fake.Index(7), "index 7", func(t *testing.T, x *httptest.ResponseRecorder) { require.Equal(t, "7", index(t, x)) }},
		{fake.Status(500), "status 500", func(t *testing.T, x *httptest.ResponseRecorder) { require.Equal(t, 500, x.Code) }},
		{fake.Garbage{}, "garbage", func(t *testing.T, x *httptest.ResponseRecorder) { require.Contains(t, x.Body.String(), "<html>") }},
		{fake.Torn{}, "torn answers", func(t *testing.T, x *httptest.ResponseRecorder) { require.NotContains(t, x.Body.String(), "]}]") }},
		{fake.Cut{}, "cut", func(t *testing.T, x *httptest.ResponseRecorder) { require.Nil(t, x) }},
		{fake.Lag(time.Minute), "lags by 1m0s", func(t *testing.T, x *httptest.ResponseRecorder) {
			require.Equal(t, "60000", x.Header().Get("X-Consul-Lastcontact"))
		}},
		{fake.NoLeader{}, "no leader", func(t *testing.T, x *httptest.ResponseRecorder) {
			require.Equal(t, "false", x.Header().Get("X-Consul-Knownleader"))
		}},
		{fake.On{Path: "/v1/kv", Fault: fake.Status(500)}, "status 500 on /v1/kv", func(t *testing.T, x *httptest.ResponseRecorder) {
			require.Equal(t, http.StatusOK, x.Code)
		}},
		{fake.On{Path: "/v1/health", Fault: fake.Status(500)}, "status 500 on /v1/health", func(t *testing.T, x *httptest.ResponseRecorder) {
			require.Equal(t, 500, x.Code)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, func(t *testing.T, a, b *fake.Agent, _ *state.Store) {
				ask(t.Context(), a, web)
				ask(t.Context(), b, `PUT agent/service/register {"Name":"web","Port":81}`)
				honest := ask(t.Context(), a, "GET health/service/web?stale")
				held := later(t.Context(), a, "GET health/service/web?stale&index="+index(t, honest))
				heal := a.Inject(c.fault)
				require.Equal(t, []string{c.name}, a.Faults())
				c.seen(t, ask(t.Context(), a, "GET health/service/web?stale"))
				c.seen(t, <-held) // at once
				heal()
				heal()
				require.Empty(t, a.Faults())
				again := ask(t.Context(), a, "GET health/service/web?stale")
				require.Equal(t, honest.Body.String(), again.Body.String())
				require.Equal(t, honest.Header(), again.Header())
			})
		})
	}
}

func TestSlowAndHalfOpenHoldWhatIsUnderWay(t *testing.T) {
	play(t, func(t *testing.T, a, _ *fake.Agent, _ *state.Store) {
		heal := a.Inject(fake.Slow(3 * time.Second))
		begun := time.Now()
		require.Equal(t, http.StatusOK, ask(t.Context(), a, web).Code)
		require.Equal(t, 3*time.Second, time.Since(begun))
		heal()
		require.Equal(t, []string{"slow by 3s", "half open"}, []string{fake.Slow(3 * time.Second).String(), fake.HalfOpen{}.String()})
		heal = a.Inject(fake.HalfOpen{})
		read := later(t.Context(), a, "GET health/service/web")
		write := later(t.Context(), a, "PUT agent/service/deregister/web")
		time.Sleep(time.Minute)
		require.Empty(t, read)
		heal()
		require.Contains(t, (<-read).Body.String(), `"ID":"web"`)
		require.Nil(t, <-write, "lost on the way")
	})
}

func TestNoLeaderStopsWritesAndOrdinaryReadsAndSyncsAfterwards(t *testing.T) {
	play(t, func(t *testing.T, a, b *fake.Agent, _ *state.Store) {
		heal := a.Inject(fake.NoLeader{})
		for _, call := range []string{
			"GET health/service/web", "GET kv/k", "PUT kv/k x", "DELETE kv/k", "PUT session/create", "PUT session/renew/x",
			"PUT session/destroy/x", `PUT txn [{"KV":{"Verb":"set","Key":"k"}}]`,
		} {
			x := ask(t.Context(), a, call)
			require.Equal(t, 500, x.Code, call)
			require.Equal(t, "No cluster leader", x.Body.String(), call)
		}
		require.Equal(t, `""`, ask(t.Context(), a, "GET status/leader").Body.String())
		require.Equal(t, http.StatusOK, ask(t.Context(), a, web).Code, "the agent takes it")
		require.Equal(t, "[]", ask(t.Context(), a, "GET health/service/web?stale").Body.String())
		require.Equal(t, "[]", ask(t.Context(), b, "GET health/service/web").Body.String())
		heal()
		require.Contains(t, ask(t.Context(), b, "GET health/service/web").Body.String(), `"ID":"web"`)
		require.Contains(t, ask(t.Context(), a, "GET status/peers").Body.String(), ":8300")
	})
}

func TestFrozenAgentTellsAnOldStoryToThoseWhoTakeAny(t *testing.T) {
	play(t, func(t *testing.T, a, b *fake.Agent, s *state.Store) {
		old := fake.Frozen{Store: s.Copy()}
		a.Inject(old)
		require.Equal(t, "frozen view", old.String())
		ask(t.Context(), b, web)
		require.Equal(t, "[]", ask(t.Context(), a, "GET health/service/web?stale").Body.String())
		require.NotEqual(t, "[]", ask(t.Context(), b, "GET health/service/web?stale").Body.String(), "the split view")
		require.NotEqual(t, "[]", ask(t.Context(), a, "GET health/service/web").Body.String())
	})
}

func TestOtherDatacentresAreReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		west := state.New("dc2")
		a, there := fake.New("a", state.New("dc1"), west), fake.New("there", west)
		ask(t.Context(), there, web)
		require.Equal(t, "[]", ask(t.Context(), a, "GET health/service/web?dc=dc1").Body.String())
		require.Contains(t, ask(t.Context(), a, "GET health/service/web?dc=dc2").Body.String(), `"Datacenter":"dc2"`)
		require.Equal(t, `["dc1","dc2"]`, ask(t.Context(), a, "GET catalog/datacenters").Body.String())
		require.Contains(t, ask(t.Context(), a, "GET agent/self").Body.String(), `"NodeName":"a"`)
	})
}
