package edge_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/auth"
	"example.com/app/platform/edge"
	"example.com/app/platform/errs"
)

// Whatever the pattern of requests: in no span of time are more let in than the
// burst and what the rate gives in that span, and no client that has tokens is
// refused.
func TestARateLetsInNoMoreAndNoLessThanItSays(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for range 40 {
		rate := edge.Rate{Count: 1 + rng.IntN(200), Per: []time.Duration{time.Second, time.Minute, time.Hour}[rng.IntN(3)], Burst: 1 + rng.IntN(50)}
		now := time.Unix(1_800_000_000, 0)
		w := newWorld(t, edge.Config{Rate: rate, Now: func() time.Time { return now }})
		interval := rate.Per / time.Duration(rate.Count)
		var let []time.Time
		tokens, last := float64(rate.Burst), now // the same as a bucket of water
		for range 400 {
			now = now.Add(time.Duration(rng.ExpFloat64() * float64(interval) * 0.7))
			tokens = min(float64(rate.Burst), tokens+float64(now.Sub(last))/float64(interval))
			last = now
			ok := w.ask(http.MethodGet, "/").Code == http.StatusOK
			if tokens > 1.0001 && !ok || tokens < 0.9999 && ok {
				t.Fatalf("%v: let in %v with %f tokens", rate, ok, tokens)
			}
			if ok {
				tokens--
				let = append(let, now)
			}
		}
		for i := range let {
			for j := i; j < len(let); j++ {
				if most := rate.Burst + int(let[j].Sub(let[i])/interval); j-i+1 > most {
					t.Fatalf("%v: %d in %v", rate, j-i+1, let[j].Sub(let[i]))
				}
			}
		}
	}
}

func TestWhoIsRefusedIsToldWhenToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, edge.Config{Rate: edge.Rate{Count: 6, Per: time.Minute, Burst: 2}})
		first := w.ask(http.MethodGet, "/")
		require.Equal(t, []string{`"client";q=2;w=20`}, first.Header()["Ratelimit-Policy"])
		require.Equal(t, []string{`"client";r=1;t=10`}, first.Header()["Ratelimit"])
		require.Equal(t, `"client";r=0;t=20`, w.ask(http.MethodGet, "/").Header().Get("RateLimit"))
		answer := w.ask(http.MethodGet, "/")
		require.Equal(t, http.StatusTooManyRequests, answer.Code)
		require.Nil(t, w.seen)
		require.Equal(t, "10", answer.Header().Get("Retry-After"))
		require.Contains(t, answer.Body.String(), `"status":"RESOURCE_EXHAUSTED"`)
		require.Contains(t, answer.Body.String(), `"reason":"RATE_LIMIT"`)
		require.Equal(t, errs.Exhausted, errs.Of(w.refused[0].Err))
		time.Sleep(10*time.Second - time.Nanosecond)
		require.Equal(t, http.StatusTooManyRequests, w.ask(http.MethodGet, "/").Code, "being refused costs nothing, coming early gains nothing")
		time.Sleep(time.Nanosecond)
		require.Equal(t, http.StatusOK, w.ask(http.MethodGet, "/").Code)
		require.Equal(t, http.StatusTooManyRequests, w.ask(http.MethodGet, "/").Code)
	})
}

func TestClientsDoNotUseUpEachOthersShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			one, other string
			apart      bool
		}{
			"another address":         {"192.0.2.1:1", "192.0.2.2:1", true},
			"another port":            {"192.0.2.1:1", "192.0.2.1:2", false},
			"the same network of 64":  {"[2001:db8::1]:1", "[2001:db8::ffff:0:0:1]:1", false},
			"another network of 64":   {"[2001:db8::1]:1", "[2001:db8:0:1::1]:1", true},
			"IPv4 in IPv6":            {"192.0.2.1:1", "[::ffff:192.0.2.1]:1", false},
			"two hosts in memory":     {"one:1", "two:1", true},
			"two of IPv4, as by IPv6": {"[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:1", true},
		} {
			w := newWorld(t, edge.Config{Rate: edge.Rate{Count: 1, Per: time.Hour}})
			require.Equal(t, http.StatusOK, w.ask(http.MethodGet, "/", "from", test.one).Code)
			require.Equal(t, test.apart, w.ask(http.MethodGet, "/", "from", test.other).Code == http.StatusOK, name)
		}
	})
}

func TestACallerThatIsProvenCountsByItself(t *testing.T) {
	w := newWorld(t, edge.Config{Rate: edge.Rate{Count: 1, Per: time.Hour}})
	as := func(client, subject string) int {
		r := w.request(http.MethodGet, "/")
		r = r.WithContext(auth.With(r.Context(), &auth.Principal{Client: client, Subject: subject}))
		return w.send(r).Code
	}
	require.Equal(t, 200, as("browser", "ada"))
	require.Equal(t, 429, as("browser", "ada"))
	require.Equal(t, 200, as("browser", "bob"), "another user of the same client")
	require.Equal(t, 200, w.ask(http.MethodGet, "/").Code, "nobody in particular, at the same address")
	require.Equal(t, 429, w.ask(http.MethodGet, "/", "Authorization", "Bearer made-up").Code, "what is not proven does not count")
}

func TestRoutesHaveLimitsOfTheirOwn(t *testing.T) {
	route := func(s string) edge.RouteRate {
		r, err := edge.ParseRouteRate(s)
		require.NoError(t, err)
		return r
	}
	w := newWorld(t, edge.Config{
		Rate:   edge.Rate{Count: 10, Per: time.Hour},
		Routes: []edge.RouteRate{route("/v1=2/h"), route("/v1/greetings=1/h"), route("/v1/free=off")},
		Now:    func() time.Time { return time.Unix(1e9, 0) },
	})
	codes := func(path string, n int) (codes []int) {
		for range n {
			codes = append(codes, w.ask(http.MethodGet, path).Code)
		}
		return codes
	}
	require.Equal(t, []int{200, 429}, codes("/v1/greetings", 2))
	require.Equal(t, []int{429}, codes("/v1/greetings/Ada", 1), "all that is under it")
	require.Equal(t, []int{200, 200, 429}, codes("/v1/greetingsmore", 3), "not under it: the limit of /v1")
	require.Equal(t, `"client";q=10;w=3600, "route";q=2;w=3600`, w.ask(http.MethodGet, "/v1").Header().Get("RateLimit-Policy"))
	require.Equal(t, []int{200, 200, 200}, codes("/v1/free", 3))
	require.Equal(t, []int{200, 200, 200, 200, 429}, codes("/", 5), "what a route refused has cost the client nothing")
}

func TestTheLimiterForgetsWhoAskedLeastLately(t *testing.T) {
	now := time.Unix(1e9, 0)
	w := newWorld(t, edge.Config{Rate: edge.Rate{Count: 1, Per: time.Hour}, Clients: 2, Now: func() time.Time { return now }})
	ask := func(host string) int { return w.ask(http.MethodGet, "/", "from", host+":1").Code }
	require.Equal(t, []int{200, 200, 429}, []int{ask("a"), ask("b"), ask("a")})
	require.Equal(t, 200, ask("c"), "in b's place")
	require.Equal(t, 429, ask("a"))
	require.Equal(t, 200, ask("b"))
}

func TestOffIsOff(t *testing.T) {
	off, err := edge.ParseRate("off")
	require.NoError(t, err)
	w := newWorld(t, edge.Config{Rate: off, Now: func() time.Time { return time.Unix(1e9, 0) }})
	for range 3000 {
		require.Equal(t, 200, w.ask(http.MethodGet, "/").Code)
	}
	require.Empty(t, w.ask(http.MethodGet, "/").Header().Get("RateLimit"))
}

func TestRatesAreRead(t *testing.T) {
	for text, want := range map[string]edge.Rate{
		"100/s":           {Count: 100, Per: time.Second},
		"100/s,burst=200": {Count: 100, Per: time.Second, Burst: 200},
		"1/m":             {Count: 1, Per: time.Minute},
		"5/h,burst=1":     {Count: 5, Per: time.Hour, Burst: 1},
		"off":             {Count: -1},
	} {
		got, err := edge.ParseRate(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, text, got.String())
	}
	for text, what := range map[string]string{
		"":                   "as in 100/s",
		"100":                "as in 100/s",
		"100/d":              "as in 100/s",
		"0/s":                "from 1 to",
		"-1/s":               "from 1 to",
		"+1/s":               "from 1 to",
		"1e3/s":              "from 1 to",
		"9999999/s":          "from 1 to",
		"1/s,":               "burst=NUMBER",
		"1/s,size=3":         "burst=NUMBER",
		"1/s,burst=":         "from 1 to",
		"1/s,burst=2,3":      "from 1 to",
		"1/s ,burst=2":       "as in 100/s",
		"1/s,burst=99999999": "from 1 to",
	} {
		_, err := edge.ParseRate(text)
		require.ErrorContains(t, err, what, text)
		require.Equal(t, errs.Invalid, errs.Of(err))
		require.Contains(t, err.Error(), strconv.Quote(text))
	}
	for text, what := range map[string]string{
		"/v1": `no "="`, "=1/s": "plain path", "/=1/s": "plain path", "v1=1/s": "no slash at its beginning", "/a*=1/s": "plain path",
		"/a//b=1/s": "empty segment", "/../a=1/s": "dot segment", "/v1=fast": "as in 100/s", "/v1=1/s=2": "as in 100/s",
	} {
		_, err := edge.ParseRouteRate(text)
		require.ErrorContains(t, err, what, text)
	}
	_, err := edge.New(edge.Config{Rate: edge.Rate{Count: 1, Burst: -1}}, nil)
	require.ErrorContains(t, err, "rate")
	_, err = edge.New(edge.Config{Routes: []edge.RouteRate{{Prefix: "/x", Rate: edge.Rate{Count: 2, Per: 1}}}}, nil)
	require.ErrorContains(t, err, "/x")
}

// What is read is written as it was, or in a shorter way that reads the same.
func FuzzParseRouteRate(f *testing.F) {
	for _, seed := range []string{"/v1/greetings=10/s", "/a/=1/m,burst=2", "/a=off", "=", "/a=01/s", "/%2e=1/s", "/a=1/s,burst=02", "/\xff=1/s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := edge.ParseRouteRate(text)
		if err != nil {
			require.Equal(t, errs.Invalid, errs.Of(err))
			return
		}
		require.NoError(t, r.Rate.Validate())
		require.True(t, strings.HasPrefix(r.Prefix, "/") && !strings.HasSuffix(r.Prefix, "/"))
		again, err := edge.ParseRouteRate(r.String())
		require.NoError(t, err)
		require.Equal(t, r, again)
		_, err = edge.New(edge.Config{Routes: []edge.RouteRate{r}}, http.NotFoundHandler())
		require.NoError(t, err)
	})
}

// No request gets past the edge in a form that could be read in two ways.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/", "/a%2fb", "/a/../b", `/a\b`, "/%2e%2e/", "/a?b=c&d", "//x", "/a;..;/b", "/%252e", "/a%00"} {
		f.Add(seed)
	}
	bad := regexp.MustCompile(`//|\\|/\.\.?(/|;|$)|[\x00-\x1f\x7f]|(?i)%(2f|5c|2e|00|25)`)
	w := newWorld(f, edge.Config{Rate: edge.Rate{Count: -1}})
	f.Fuzz(func(t *testing.T, target string) {
		r := w.request(http.MethodGet, "/")
		u, err := r.URL.Parse(target)
		if err != nil || len(target) > 8000 {
			return
		}
		r.URL, r.RequestURI = u, target
		w.send(r)
		if w.seen != nil {
			require.False(t, bad.MatchString(w.seen.URL.Path), fmt.Sprintf("%q", w.seen.URL.Path))
			require.True(t, strings.HasPrefix(w.seen.URL.Path, "/"))
		}
	})
}

func BenchmarkEdge(b *testing.B) {
	e, err := edge.New(edge.Config{Rate: edge.Rate{Count: 1_000_000}}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) }))
	require.NoError(b, err)
	w := new(world)
	r := w.request(http.MethodGet, "/v1/greetings")
	r.Header.Set("X-Request-Id", "x")
	b.ReportAllocs()
	for b.Loop() {
		e.ServeHTTP(nowhereWriter{http.Header{}}, r)
	}
}
