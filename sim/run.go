package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"example.com/app/platform/app"
	"example.com/app/sim/fault"
	"example.com/app/sim/load"
	"example.com/app/sim/twin"
)

// Options say how a scenario is run. The zero value runs it with seed 0.
type Options struct {
	Seed    uint64         // of load, network, faults and roles
	Runtime uint64         // of goroutines, maps and keys, which the twin alone heeds; 0: as Seed
	Faults  []fault.Fault  // in place of the scenario's; nil: those
	Fleet   map[string]int // instances by role, in place of the scenario's; nil: those
	Roles   []app.Role     // of the program
	Version string         // of the program
	Lines   io.Writer      // gets the trace as it grows; nil: nobody does
	Keep    int            // events of the trace that are kept; 0 means 1,000,000
	Started func(*World)   // called when the fleet is up and the load begins; it must not block; nil: nothing
	Knob    *load.Knob     // turns the load while it runs, in place of the arrivals of the scenario; nil: those
	Live    bool           // the clock is real: what depends on virtual time is not checked
}

// Run runs a scenario once and says what happened. An error means that it could
// not be run; what broke in it is in the report. The run ends early with ctx,
// or with the first violation. Unless it is live it must be within a bubble of
// testing/synctest: see Virtual.
func (s Scenario) Run(ctx context.Context, o Options) (*Report, error) {
	if s.Begin != nil {
		s.Begin(&s)
	}
	if o.Fleet != nil {
		s.Fleet = o.Fleet
	}
	s, err := s.WithDefaults(o.Roles)
	if err != nil {
		return nil, err
	}
	if o.Knob != nil {
		s.Arrivals = o.Knob.Arrivals()
	}
	begin := time.Now()
	w, err := newWorld(s, o)
	if err != nil {
		return nil, fmt.Errorf("scenario %s: %w", s.Name, err)
	}
	faults := o.Faults
	if faults == nil {
		faults = s.Draw(o.Seed)
	}
	err = w.play(ctx, faults)
	report := w.report(faults)
	report.Virtual = time.Since(begin)
	return report, err
}

// play is the run from the first start to the last stop.
func (w *World) play(ctx context.Context, faults []fault.Fault) error {
	begin := time.Now()
	side, cancel := context.WithCancel(context.Background())
	var sides sync.WaitGroup
	defer func() {
		cancel()
		sides.Wait()
		w.leftovers(ctx)
		w.Ground.Close(append(w.Hosts(), userHost)...)
	}()
	if err := w.start(ctx); err != nil {
		return errors.Join(err, w.Fleet.Close())
	}
	w.up = time.Since(begin)
	if twin.Exact && !w.options.Live {
		sides.Go(func() { w.tidy(side) })
	}
	reg, net := w.Ground.Host(userHost)
	w.user = load.NewUser(net, w.Scenario.Patience)
	w.logIn()
	sides.Go(func() { w.user.Run(side, reg) })

	w.load(ctx, faults)
	w.settle(ctx)
	if err := w.Fleet.Close(); err != nil && ctx.Err() == nil {
		w.violate("instances stop in order", "", err.Error())
	}
	return nil
}

// start starts the hosts one after the other.
func (w *World) start(ctx context.Context) error {
	for i, h := range w.hosts {
		if err := w.Fleet.Start(ctx, h); err != nil && ctx.Err() == nil {
			return fmt.Errorf("scenario %s: %w", w.Scenario.Name, err)
		}
		w.state(h, "up")
		if twin.Exact && !w.options.Live && i%8 == 7 {
			collect()
		}
	}
	return nil
}

// logIn has the users show tokens, where the fleet has somebody who issues them.
func (w *World) logIn() {
	issues := slices.ContainsFunc(w.Scenario.Roles, func(r app.Role) bool {
		return w.Scenario.Fleet[r.Name] > 0 && slices.Contains(r.Paths, "/oauth2")
	})
	if s := w.Fleet.Settings().Security; issues && !s.Insecure {
		w.user.LogIn(s.Clients[len(s.Clients)-1])
	}
}

// load has users ask and faults happen, then heals everything and has users ask
// on. It returns when the last request has been answered.
func (w *World) load(ctx context.Context, faults []fault.Fault) {
	s := w.Scenario
	asking, stop := context.WithCancel(ctx)
	defer stop()
	w.mu.Lock()
	w.began, w.stop = time.Now(), stop
	w.mu.Unlock()
	if w.options.Started != nil {
		w.options.Started(w)
	}
	var sides sync.WaitGroup
	sides.Go(func() {
		spoiling, heal := context.WithTimeout(asking, s.Duration)
		defer heal()
		w.schedule(spoiling, faults)
		if !wait(asking, s.Duration-w.Time()) {
			return
		}
		w.mu.Lock()
		w.healed = time.Now()
		w.mu.Unlock()
		w.state("", "all is healed")
		w.progress(asking)
	})
	l := load.Load{Calls: s.Calls, Arrivals: s.Arrivals, Duration: s.Duration + s.Heal, Seed: w.Seed}
	l.Run(asking, w.user, func(d load.Done) { w.done(asking, d) })
	sides.Wait()
	if asking.Err() != nil {
		return // broken off: nothing more can be concluded
	}
	w.ask("", func(tell func(string, error)) {
		for _, c := range w.checks.finally {
			tell(c.name, c.check())
		}
		for _, c := range w.checks.sometimes {
			if !c.check() {
				tell("sometimes: "+c.name, errors.New("it never happened, so that this run shows nothing"))
			}
		}
	})
}

// often is how often something that shall come true is looked at.
const often = 100 * time.Millisecond

// progress wants that what shall be so after the faults becomes so.
func (w *World) progress(ctx context.Context) {
	todo := slices.Clone(w.checks.eventual)
	todo = append(todo, eventual{"all instances are up again after all is healed", w.Scenario.Recovery, w.allUp})
	for since := time.Now(); len(todo) > 0; {
		if !wait(ctx, often) {
			return
		}
		late := time.Since(since)
		todo = slices.DeleteFunc(todo, func(e eventual) bool {
			w.asking.Lock()
			err := e.check()
			w.asking.Unlock()
			if err != nil && late >= e.within {
				w.violate(e.name, "", fmt.Sprintf("not within %v: %v", e.within, err))
				return true
			}
			return err == nil
		})
	}
}

// allUp says which instance is not.
func (w *World) allUp() error {
	for _, h := range w.hosts {
		if !w.Fleet.Started(h) {
			return fmt.Errorf("%s is not", h)
		}
	}
	return nil
}

// settle waits until no call is in flight.
func (w *World) settle(ctx context.Context) {
	over, cancel := context.WithTimeout(ctx, w.Scenario.Patience)
	defer cancel()
	for {
		busy := slices.IndexFunc(w.hosts, func(h string) bool { return w.Fleet.InFlight(h) > 0 })
		if busy < 0 {
			return
		}
		if !wait(over, often) {
			if ctx.Err() == nil {
				w.violate("no call is in flight after the last answer", "", fmt.Sprintf("%s has %d", w.hosts[busy], w.Fleet.InFlight(w.hosts[busy])))
			}
			return
		}
	}
}

// leftovers looks at what is left when all has been stopped. The last farewells
// need a moment to arrive.
func (w *World) leftovers(ctx context.Context) {
	for range 50 {
		if w.open() == "" || !wait(ctx, often) {
			return
		}
	}
	w.violate("no connection is open after the stop", "", w.open())
}

// open tells of a host that has connections; empty: none has.
func (w *World) open() string {
	for _, h := range w.hosts {
		if n := w.Ground.Connections(h); n > 0 {
			return fmt.Sprintf("%s has %d", h, n)
		}
	}
	return ""
}

// much is how many events make the twin collect its garbage.
const much = 2000

// tidy collects garbage now and then.
func (w *World) tidy(ctx context.Context) {
	for last := 0; wait(ctx, 500*time.Millisecond); {
		if n := w.Trace.Len(); n-last >= much {
			last = n
			collect()
		}
	}
}

// collect collects garbage while everybody waits: the twin can at no other time,
// or what finalizers and caches do would depend on when that was.
func collect() {
	synctest.Wait()
	twin.Collect()
}
