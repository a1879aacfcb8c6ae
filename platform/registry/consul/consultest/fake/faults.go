package fake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/app/platform/registry/consul/consultest/state"
)

// A Fault spoils exchanges. It calls next to let the agent, or the fault that
// was injected before, make an honest answer, or does not. It may wait, but
// not beyond x.Wanted. It says in a few words what it does.
type Fault interface {
	fmt.Stringer
	Spoil(x *Exchange, next func(*Exchange))
}

// An injection is a fault at work in one agent.
type injection struct{ Fault }

// Inject spoils all exchanges from now on, those under way included, until
// remove is called; twice is fine. Of several faults the last is asked first.
func (a *Agent) Inject(f Fault) (remove func()) {
	in := &injection{f}
	a.turn(func() { a.faults = append(a.faults, in) })
	return func() {
		a.turn(func() {
			a.faults = slices.DeleteFunc(slices.Clone(a.faults), func(o *injection) bool { return o == in })
		})
	}
}

// Restart makes the agent forget what it was told, as one that starts again
// with no data; the catalogue forgets it too.
func (a *Agent) Restart() { a.turn(a.forget) }

// Faults says what is wrong with the agent, in the order of injection.
func (a *Agent) Faults() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []string
	for _, f := range a.faults {
		all = append(all, f.String())
	}
	return all
}

// turn changes the faults, lets everything under way know, and tells the
// catalogue what it could not be told while there was no leader.
func (a *Agent) turn(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
	close(a.turned)
	a.turned = make(chan struct{})
	a.sync()
}

// leaderless reports whether the agent sees no leader. The caller holds a.mu.
func (a *Agent) leaderless() bool {
	return slices.ContainsFunc(a.faults, func(f *injection) bool { return f.Fault == Fault(NoLeader{}) })
}

// chain is how an exchange is served now, and a channel that is closed when
// that changes.
func (a *Agent) chain() (func(*Exchange), <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	serve := a.answer
	for _, f := range a.faults {
		next := serve
		serve = func(x *Exchange) { f.Spoil(x, next) }
	}
	return serve, a.turned
}

// wait waits for d, negative for ever, while the answer is wanted, and reports
// whether it still is.
func (x *Exchange) wait(d time.Duration) bool {
	var end <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		end = timer.C
	}
	select {
	case <-end:
		return true
	case <-x.turned:
	case <-x.Request.Context().Done():
	}
	return false
}

// discovery reports whether the exchange is a good answer to a question about
// services.
func (x *Exchange) discovery() bool {
	path := strings.TrimPrefix(x.Request.URL.Path, "/v1/")
	return x.Status == http.StatusOK && (strings.HasPrefix(path, "health/") || strings.HasPrefix(path, "catalog/"))
}

// Keep leaves so many instances in every answer about services: 0 makes
// answers empty, more makes them partial.
type Keep int

func (k Keep) String() string {
	if k == 0 {
		return "empty answers"
	}
	return fmt.Sprintf("answers cut to %d", int(k))
}

// Spoil implements Fault.
func (k Keep) Spoil(x *Exchange, next func(*Exchange)) {
	next(x)
	var all []json.RawMessage
	if !x.discovery() || json.Unmarshal(x.Body, &all) != nil {
		return
	}
	x.Body, _ = json.Marshal(all[:min(len(all), int(k))])
}

// Index is the index of all answers, whatever they say: 0, or one that does
// not grow.
type Index uint64

func (i Index) String() string { return fmt.Sprintf("index %d", uint64(i)) }

// Spoil implements Fault.
func (i Index) Spoil(x *Exchange, next func(*Exchange)) {
	next(x)
	if x.Header.Get("X-Consul-Index") != "" {
		x.Header.Set("X-Consul-Index", strconv.FormatUint(uint64(i), 10))
	}
}

// Status answers everything with a status code and does nothing.
type Status int

func (s Status) String() string { return fmt.Sprintf("status %d", int(s)) }

// Spoil implements Fault.
func (s Status) Spoil(x *Exchange, _ func(*Exchange)) {
	text := map[Status]string{
		http.StatusForbidden:           "Permission denied: anonymous token lacks permission 'service:read'. The anonymous token is used implicitly when a request does not specify a token.",
		http.StatusTooManyRequests:     "Your IP is issuing too many concurrent connections, please rate limit your calls",
		http.StatusInternalServerError: "rpc error making call: EOF",
	}[s]
	x.refuse(int(s), text)
}

// Garbage answers everything with what some proxy has to say.
type Garbage struct{}

func (Garbage) String() string { return "garbage" }

// Spoil implements Fault.
func (Garbage) Spoil(x *Exchange, _ func(*Exchange)) {
	x.Header = http.Header{"Content-Type": {"text/html"}}
	x.Body = bytes.Repeat([]byte("<html>"), 3)
}

// Torn loses the second half of every answer.
type Torn struct{}

func (Torn) String() string { return "torn answers" }

// Spoil implements Fault.
func (Torn) Spoil(x *Exchange, next func(*Exchange)) {
	next(x)
	x.Body = x.Body[:len(x.Body)/2]
}

// Slow is how much later everything is served.
type Slow time.Duration

func (s Slow) String() string { return "slow by " + time.Duration(s).String() }

// Spoil implements Fault.
func (s Slow) Spoil(x *Exchange, next func(*Exchange)) {
	if x.wait(time.Duration(s)) || x.Request.Method != http.MethodGet {
		next(x)
	}
}

// HalfOpen takes every request and never answers.
type HalfOpen struct{}

func (HalfOpen) String() string { return "half open" }

// Spoil implements Fault. What was to be written is lost.
func (HalfOpen) Spoil(x *Exchange, _ func(*Exchange)) {
	x.Cut = !x.wait(-1) && x.Request.Method != http.MethodGet
}

// Cut ends every connection as soon as there is a request on it.
type Cut struct{}

func (Cut) String() string { return "cut" }

// Spoil implements Fault.
func (Cut) Spoil(x *Exchange, _ func(*Exchange)) { x.Cut = true }

// NoLeader is how the API behaves while the servers elect one: the agent takes
// what it is told, but nobody hears of it, and only stale questions are
// answered.
type NoLeader struct{}

func (NoLeader) String() string { return "no leader" }

// Spoil implements Fault.
func (NoLeader) Spoil(x *Exchange, next func(*Exchange)) {
	x.leaderless = true
	next(x)
}

// Lag is how long ago the server that answers stale questions has heard from
// its leader. It says so, and answers.
type Lag time.Duration

func (l Lag) String() string { return "lags by " + time.Duration(l).String() }

// Spoil implements Fault.
func (l Lag) Spoil(x *Exchange, next func(*Exchange)) {
	next(x)
	if x.Request.URL.Query().Has("stale") && x.Header.Get("X-Consul-Lastcontact") != "" {
		x.Header.Set("X-Consul-Lastcontact", strconv.FormatInt(time.Duration(l).Milliseconds(), 10))
	}
}

// Frozen answers stale questions from a copy of the state, so that two agents
// tell two stories.
type Frozen struct{ Store *state.Store }

func (Frozen) String() string { return "frozen view" }

// Spoil implements Fault.
func (f Frozen) Spoil(x *Exchange, next func(*Exchange)) {
	x.store = f.Store
	next(x)
}

// On spoils only requests whose path begins with Path, as in "/v1/health".
type On struct {
	Path string
	Fault
}

func (o On) String() string { return o.Fault.String() + " on " + o.Path }

// Spoil implements Fault.
func (o On) Spoil(x *Exchange, next func(*Exchange)) {
	if strings.HasPrefix(x.Request.URL.Path, o.Path) {
		o.Fault.Spoil(x, next)
		return
	}
	next(x)
}
