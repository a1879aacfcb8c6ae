package sim

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/reflect/protoregistry"

	"example.com/app/platform/app"
	"example.com/app/platform/auth/rule"
	"example.com/app/platform/telemetry"
	"example.com/app/sim/fault"
	"example.com/app/sim/fleet"
	"example.com/app/sim/ground"
	"example.com/app/sim/load"
	"example.com/app/sim/trace"
	"example.com/app/sim/wire"
)

// A World is a scenario that runs. Checks and pages look at it; its methods may
// be called from many goroutines, but for those that add checks.
//
// What must hold in every world, whatever its scenario says: no handler panics;
// every request ends when its user's patience does; requests are answered again
// within Recovery after all is healed, and all instances are up; when the load
// has ended no call is in flight; when the fleet has stopped no connection is
// open and no goroutine is left.
type World struct {
	Scenario Scenario // with its defaults
	Seed     uint64
	Fleet    *fleet.Fleet
	Ground   *ground.Ground
	Trace    *trace.Trace
	Users    load.Tally // all requests

	user    *load.User
	options Options
	checks  checks
	clocks  clocks
	meddler meddler
	hosts   []string
	tallies map[string]*load.Tally // by host

	asking     sync.Mutex // held while checks are asked
	mu         sync.Mutex
	began      time.Time // of the load; zero: not yet
	healed     time.Time // zero: not yet
	violations []Violation
	lost       error               // the first request that failed
	up         time.Duration       // how long the start took
	notes      map[string][]string // by host: what became of it
	policy     string              // set while it runs; empty: not
	stop       func()              // ends the load
	active     []fault.Fault       // that have not been healed
}

// newWorld makes everything, and starts nothing.
func newWorld(s Scenario, o Options) (*World, error) {
	w := &World{
		Scenario: s, Seed: o.Seed, options: o, hosts: s.Hosts(), tallies: map[string]*load.Tally{}, notes: map[string][]string{},
		Trace: trace.New(trace.Config{Begin: time.Now(), Lines: o.Lines, Limit: o.Keep}), stop: func() {},
	}
	for _, h := range w.hosts {
		w.tallies[h] = new(load.Tally)
	}
	var err error
	w.Ground, err = ground.New(wire.Config{Seed: o.Seed, Link: s.Link, Zone: w.zone})
	if err != nil {
		return nil, err
	}
	w.meddler.seed = o.Seed
	cfg := app.Config{Log: w.log()}
	if s.Node != nil {
		s.Node(&cfg)
	}
	cfg.Roles, cfg.Version = s.Roles, o.Version
	cfg.Observe, cfg.Facts, cfg.Around = w.answered, w.stated, w.meddler.around
	cfg.Security.Clients = append(cfg.Security.Clients, app.Client{
		ID: "user", Secret: telemetry.Secret(rand.Text()), Scopes: rule.Scopes(protoregistry.GlobalFiles),
	})
	w.Fleet = fleet.New(w.Ground, cfg)
	w.Fleet.Each = w.each
	if s.Check != nil {
		s.Check(w)
	}
	return w, nil
}

// zone is the failure domain of a host.
func (w *World) zone(host string) string { return w.Scenario.Zones[host] }

// Hosts are those of the fleet, in the order of their start.
func (w *World) Hosts() []string { return slices.Clone(w.hosts) }

// Tally is what a host has answered; nil: it is not of this fleet.
func (w *World) Tally(host string) *load.Tally { return w.tallies[host] }

// Time is how long the load has been going on; 0 before it begins.
func (w *World) Time() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.time()
}

// time is Time for who holds mu.
func (w *World) time() time.Duration {
	if w.began.IsZero() {
		return 0
	}
	return time.Since(w.began)
}

// Healed says whether all faults have been healed, for good.
func (w *World) Healed() bool { w.mu.Lock(); defer w.mu.Unlock(); return !w.healed.IsZero() }

// Active are the faults at work, in the order in which they began.
func (w *World) Active() []fault.Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.active)
}

// violate notes that an invariant did not hold. The load ends; the story so far
// is what there is to see.
func (w *World) violate(invariant, id, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := Violation{At: w.time(), Invariant: invariant, Text: text, ID: id}
	w.violations = append(w.violations, v)
	w.Trace.Add(trace.Event{Kind: trace.Violation, Name: invariant, Detail: text, ID: id})
	w.stop()
}

// stated hears of a fact.
func (w *World) stated(f app.Fact) {
	w.Trace.Add(trace.Event{Kind: trace.Fact, Host: f.Host, Name: f.Name, Detail: strings.TrimSpace(f.Key + " " + f.Value)})
	w.ask(f.Key, func(tell func(string, error)) {
		for _, c := range w.checks.facts {
			tell(c.name, c.check(f))
		}
	})
}

// answered hears of a call that an instance answered.
func (w *World) answered(c app.Call) {
	peer, _, _ := strings.Cut(c.Peer, ":")
	w.Trace.Add(trace.Event{Kind: trace.Call, Host: c.Host, Peer: peer, Name: c.Method, Detail: c.Code.String(), Took: c.Duration, ID: c.ID})
	if t := w.tallies[c.Host]; t != nil {
		t.Add(c.Duration, !c.Failed())
	}
	w.ask(c.ID, func(tell func(string, error)) {
		for _, k := range w.checks.calls {
			tell(k.name, k.check(c))
		}
	})
}

// done hears of a request that a user sent. What the end of the run broke off
// counts as nothing.
func (w *World) done(ctx context.Context, d load.Done) {
	if d.Err != nil && ctx.Err() != nil {
		return
	}
	w.Users.Add(d.Took, d.Err == nil)
	detail := "OK"
	if d.Err != nil {
		detail = d.Err.Error()
	}
	w.Trace.Add(trace.Event{Kind: trace.Request, Host: userHost, Name: d.Call, Detail: detail, Took: d.Took, ID: d.ID})
	if d.Err != nil {
		w.lose(fmt.Errorf("%s: %w", d.Call, d.Err))
	}
	w.ask(d.ID, func(tell func(string, error)) {
		tell("requests end in time", w.inTime(d))
		tell("requests are answered again after all is healed", w.recovered(d))
		for _, k := range w.checks.requests {
			tell(k.name, k.check(d))
		}
	})
}

// lose notes the first request that failed.
func (w *World) lose(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost == nil {
		w.lost = err
	}
}

// slack is what a request may take beyond its user's patience: the way there.
const slack = 100 * time.Millisecond

func (w *World) inTime(d load.Done) error {
	if limit := time.Duration(d.Steps)*(w.Scenario.Patience+slack) + d.Think; w.options.Live || d.Took <= limit {
		return nil
	}
	return fmt.Errorf("%s took %v", d.Call, d.Took)
}

func (w *World) recovered(d load.Done) error {
	w.mu.Lock()
	healed, after := !w.healed.IsZero(), d.Began-w.healed.Sub(w.began)
	w.mu.Unlock()
	if d.Err == nil || !healed || w.options.Live || after < w.Scenario.Recovery {
		return nil
	}
	return fmt.Errorf("sent %v after: %w", after.Round(time.Millisecond), d.Err)
}

// ask asks checks, one at a time, and notes what they find.
func (w *World) ask(id string, put func(tell func(name string, err error))) {
	var found []named[error]
	w.asking.Lock()
	put(func(name string, err error) {
		if err != nil {
			found = append(found, named[error]{name, err})
		}
	})
	w.asking.Unlock()
	for _, f := range found {
		w.violate(f.name, id, f.check.Error())
	}
}

// userHost is where users are.
const userHost = "user"
