package sim

import (
	"fmt"
	"time"

	"example.com/app/platform/app"
	"example.com/app/sim/load"
)

// A Violation is an invariant that did not hold.
type Violation struct {
	At        time.Duration `json:"at"` // after the load began
	Invariant string        `json:"invariant"`
	Text      string        `json:"text"`         // what happened
	ID        string        `json:"id,omitempty"` // of the request that it is about
}

// String is the violation in a line.
func (v Violation) String() string {
	return fmt.Sprintf("t=%v  %s: %s", v.At.Round(time.Millisecond), v.Invariant, v.Text)
}

// checks are the invariants of a run. They are asked one at a time.
type checks struct {
	facts     []named[func(app.Fact) error]
	calls     []named[func(app.Call) error]
	requests  []named[func(load.Done) error]
	finally   []named[func() error]
	eventual  []eventual
	sometimes []named[func() bool]
}

type named[F any] struct {
	name  string
	check F
}

type eventual struct {
	name   string
	within time.Duration
	check  func() error
}

// Always asks check about each fact that a role states, when it does. It must
// not block, and should look at the fact alone and what it has kept of those
// before: a check that looks at everything each time makes an hour a day.
func (w *World) Always(name string, check func(app.Fact) error) {
	w.checks.facts = append(w.checks.facts, named[func(app.Fact) error]{name, check})
}

// Never wants that no role states a fact of this name.
func (w *World) Never(name, fact string) {
	w.Always(name, func(f app.Fact) error {
		if f.Name == fact {
			return fmt.Errorf("%s stated %s %s %s", f.Host, f.Name, f.Key, f.Value)
		}
		return nil
	})
}

// EachCall asks check about each call that an instance answered, when it did.
func (w *World) EachCall(name string, check func(app.Call) error) {
	w.checks.calls = append(w.checks.calls, named[func(app.Call) error]{name, check})
}

// EachRequest asks check about each call of a user, when it ended.
func (w *World) EachRequest(name string, check func(load.Done) error) {
	w.checks.requests = append(w.checks.requests, named[func(load.Done) error]{name, check})
}

// NoneLost wants that no request of a user fails.
func (w *World) NoneLost() {
	w.EachRequest("no request is lost", func(d load.Done) error {
		if d.Err != nil {
			return fmt.Errorf("%s after %v: %w", d.Call, d.Took.Round(time.Microsecond), d.Err)
		}
		return nil
	})
}

// Eventually wants that check finds nothing amiss at some time within a while
// after all faults have been healed.
func (w *World) Eventually(name string, within time.Duration, check func() error) {
	w.checks.eventual = append(w.checks.eventual, eventual{name, within, check})
}

// Sometimes wants that what a run is about has happened: where reached says no
// at the end, the run has shown nothing.
func (w *World) Sometimes(name string, reached func() bool) {
	w.checks.sometimes = append(w.checks.sometimes, named[func() bool]{name, reached})
}

// Finally wants that check finds nothing amiss when the last request has been
// answered.
func (w *World) Finally(name string, check func() error) {
	w.checks.finally = append(w.checks.finally, named[func() error]{name, check})
}
