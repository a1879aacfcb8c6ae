package page_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/sim"
	"example.com/app/sim/load"
	"example.com/app/sim/page"
	"example.com/app/sim/simtest"
)

// world runs a small system in virtual time for a minute of load, and play
// beside it as soon as it is up.
func world(t *testing.T, play func(t *testing.T, w *sim.World, p *page.Page)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		side, end := context.WithCancel(t.Context())
		started := make(chan *sim.World, 1)
		over := make(chan error, 2)
		s := sim.Scenario{Name: "short", Roles: simtest.System(), Duration: time.Minute, Heal: time.Second}
		go func() {
			_, err := s.Run(ctx, sim.Options{Seed: 1, Knob: load.NewKnob(50), Started: func(w *sim.World) { started <- w }})
			over <- err
		}()
		w := <-started
		p := page.New(page.Config{World: w, Streams: 1})
		go func() { over <- p.Run(side) }()
		defer func() { // also where play fails: a bubble must be left empty
			end()
			require.NoError(t, <-over)
			stop()
			require.NoError(t, <-over)
		}()
		time.Sleep(3 * time.Second)
		play(t, w, p)
	})
}

func request(method, path, body string) *http.Request {
	return httptest.NewRequest(method, "http://127.0.0.1:7070"+path, strings.NewReader(body))
}

func ask(p *page.Page, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

// sample is what a new stream of events says first.
func sample(t *testing.T, p *page.Page) page.Snapshot {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	w := ask(p, request("GET", "/events", "").WithContext(ctx))
	require.Equal(t, "text/event-stream", w.Header().Get("Content-Type"))
	var s page.Snapshot
	for block := range strings.SplitSeq(w.Body.String(), "\n\n") {
		if _, data, ok := strings.Cut(block, "data: "); ok && strings.HasPrefix(block, "event: sample") {
			require.NoError(t, json.Unmarshal([]byte(data), &s))
		}
	}
	return s
}

func host(t *testing.T, s page.Snapshot, name string) page.Host {
	t.Helper()
	for _, h := range s.Hosts {
		if h.Name == name {
			return h
		}
	}
	require.Fail(t, "no host", name)
	return page.Host{}
}

func TestEventsTellWhatTheFleetDoes(t *testing.T) {
	world(t, func(t *testing.T, _ *sim.World, p *page.Page) {
		s := sample(t, p)
		require.InDelta(t, 50, s.Point.Rate, 5)
		require.Zero(t, s.Point.Errors)
		require.Positive(t, s.Point.P99)
		require.Equal(t, "up", host(t, s, "greeter-1").State)
		require.InDelta(t, 25, host(t, s, "greeter-2").Rate, 20)
		froms := map[string]bool{}
		for _, e := range s.Edges {
			froms[e.From] = true
		}
		require.True(t, froms["gateway-1"], "%v", s.Edges)
		require.True(t, froms["user"], "%v", s.Edges)
	})
}

func TestAFaultIsInjectedShownAndHealed(t *testing.T) {
	world(t, func(t *testing.T, w *sim.World, p *page.Page) {
		a := ask(p, request("POST", "/faults", "crash greeter-1 for 2s"))
		require.Equal(t, http.StatusCreated, a.Code, a.Body)
		s := sample(t, p)
		require.Equal(t, "crashed", host(t, s, "greeter-1").State)
		require.Equal(t, "crash greeter-1", s.Faults[0].Text)
		require.NotEmpty(t, s.Faults[0].ID)
		time.Sleep(5 * time.Second)
		s = sample(t, p)
		require.Equal(t, "up", host(t, s, "greeter-1").State, "its time is over")
		require.InDelta(t, 2, s.Faults[0].To-s.Faults[0].From, 0.5)

		a = ask(p, request("POST", "/faults", "0s pause greeter-2"))
		require.Equal(t, http.StatusCreated, a.Code, a.Body)
		var in struct{ ID string }
		require.NoError(t, json.Unmarshal(a.Body.Bytes(), &in))
		require.Equal(t, "frozen", host(t, sample(t, p), "greeter-2").State)
		require.Equal(t, http.StatusNoContent, ask(p, request("DELETE", "/faults/"+in.ID, "")).Code)
		require.Empty(t, w.Active())
		require.Equal(t, http.StatusNotFound, ask(p, request("DELETE", "/faults/"+in.ID, "")).Code)
	})
}

func TestWhatRunInjectedIsHealedWhenItEnds(t *testing.T) {
	var w *sim.World
	world(t, func(t *testing.T, seen *sim.World, p *page.Page) {
		w = seen
		require.Equal(t, http.StatusCreated, ask(p, request("POST", "/faults", "slow greeter 50ms")).Code)
		require.Len(t, w.Active(), 1)
	})
	require.Empty(t, w.Active())
}

func TestLoadAndPolicyChangeWhileItRuns(t *testing.T) {
	world(t, func(t *testing.T, w *sim.World, p *page.Page) {
		require.Equal(t, http.StatusNoContent, ask(p, request("POST", "/load", `{"rate": 120}`)).Code)
		require.Equal(t, 120.0, w.Rate())
		time.Sleep(4 * time.Second)
		require.InDelta(t, 120, sample(t, p).Point.Rate, 10)
		a := ask(p, request("POST", "/balance", `{"policy": "round_robin"}`))
		require.Equal(t, http.StatusNoContent, a.Code, a.Body)
		require.Equal(t, "round_robin", sample(t, p).Balance)
	})
}

func TestBadInputIsRefusedWithAText(t *testing.T) {
	world(t, func(t *testing.T, w *sim.World, p *page.Page) {
		for _, c := range []struct {
			method, path, body string
			status             int
			text               string
		}{
			{"POST", "/faults", "melt greeter-1", 400, "there is no fault"},
			{"POST", "/faults", "crash", 400, "want a place"},
			{"POST", "/faults", "crash nobody-1", 400, "there is nobody"},
			{"POST", "/faults", strings.Repeat("x", 65<<10), 413, "more than 65536 bytes"},
			{"POST", "/load", `{"rate": -1}`, 400, "above 0"},
			{"POST", "/load", `{"rate": "fast"}`, 400, "JSON"},
			{"POST", "/load", `{"rate": 1} {}`, 400, "more than one"},
			{"POST", "/load", `{"speed": 1}`, 400, "unknown field"},
			{"POST", "/balance", `{"policy": "dice"}`, 400, "no balancing policy"},
			{"DELETE", "/faults/77", "", 404, "no such fault"},
			{"PUT", "/faults", "", 405, "Method Not Allowed"},
			{"GET", "/elsewhere", "", 404, "not found"},
		} {
			a := ask(p, request(c.method, c.path, c.body))
			require.Equal(t, c.status, a.Code, "%s %s %.40s: %s", c.method, c.path, c.body, a.Body)
			require.Contains(t, a.Body.String(), c.text)
		}
		require.Empty(t, w.Active())
	})
}

func TestOtherSitesAndOtherNamesAreRefused(t *testing.T) {
	world(t, func(t *testing.T, w *sim.World, p *page.Page) {
		for _, c := range []struct {
			host, header, value, method, path string
			status                            int
		}{
			{"evil.example", "", "", "GET", "/", 421},
			{"127.0.0.1.evil.example:7070", "", "", "GET", "/events", 421},
			{"127.0.0.1:7070", "Origin", "http://evil.example", "POST", "/faults", 403},
			{"127.0.0.1:7070", "Origin", "null", "POST", "/faults", 403},
			{"127.0.0.1:7070", "Sec-Fetch-Site", "cross-site", "POST", "/faults", 403},
			{"127.0.0.1:7070", "Sec-Fetch-Site", "same-site", "GET", "/events", 403},
			{"127.0.0.1:7070", "X-Long", strings.Repeat("x", 17<<10), "GET", "/", 431},
			{"127.0.0.1:7070", "Sec-Fetch-Site", "cross-site", "GET", "/", 200},
			{"localhost:7070", "Origin", "http://localhost:7070", "POST", "/faults", 201},
			{"[::1]:7070", "Sec-Fetch-Site", "same-origin", "POST", "/faults", 201},
		} {
			r := request(c.method, c.path, "slow greeter 1ms for 1s")
			r.Host = c.host
			if c.header != "" {
				r.Header.Set(c.header, c.value)
			}
			require.Equal(t, c.status, ask(p, r).Code, "%+v", c)
		}
		require.Len(t, w.Active(), 2)
	})
}

func TestThereAreOnlySoManyStreamsAndTheyResume(t *testing.T) {
	world(t, func(t *testing.T, _ *sim.World, p *page.Page) {
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan *httptest.ResponseRecorder)
		go func() { first <- ask(p, request("GET", "/events", "").WithContext(ctx)) }()
		synctest.Wait()
		require.Equal(t, http.StatusServiceUnavailable, ask(p, request("GET", "/events", "")).Code)
		time.Sleep(20 * time.Second)
		cancel()
		body := (<-first).Body.String()
		require.Contains(t, body, ": still here\n\n")
		require.Greater(t, strings.Count(body, "event: sample"), 75)

		again := func(id string) int {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			r := request("GET", "/events", "").WithContext(ctx)
			r.Header.Set("Last-Event-ID", id)
			_, data, _ := strings.Cut(ask(p, r).Body.String(), "data: ")
			data, _, _ = strings.Cut(data, "\n")
			var h page.Hello
			require.NoError(t, json.Unmarshal([]byte(data), &h))
			return len(h.Points)
		}
		all := again("")
		require.Greater(t, all, 80)
		require.InDelta(t, all-40, again("40"), 1)
		require.GreaterOrEqual(t, again("1000000"), all, "of a run before this one")
	})
}

func TestThePageMayRunWhatIsInItAndNothingElse(t *testing.T) {
	world(t, func(t *testing.T, _ *sim.World, p *page.Page) {
		a := ask(p, request("GET", "/", ""))
		require.Equal(t, http.StatusOK, a.Code)
		policy := a.Header().Get("Content-Security-Policy")
		require.Contains(t, policy, "default-src 'none'")
		require.NotContains(t, policy, "unsafe")
		require.NotContains(t, a.Body.String(), "/*script*/")
		require.NotRegexp(t, `(src|href)="(https?:)?//`, a.Body.String())
	})
}
