package sim

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"example.com/app/sim/fault"
	"example.com/app/sim/ground"
	"example.com/app/sim/trace"
	"example.com/app/sim/wire"
)

// schedule has faults happen when they are due, until ctx ends, and returns when
// the last one is healed.
func (w *World) schedule(ctx context.Context, faults []fault.Fault) {
	var doing sync.WaitGroup
	defer doing.Wait()
	for _, f := range faults {
		doing.Go(func() {
			if !wait(ctx, f.At-w.Time()) {
				return
			}
			heal, err := w.Inject(f)
			if err != nil {
				w.violate("faults can be injected", "", err.Error())
				return
			}
			if f.For > 0 {
				wait(ctx, f.For)
			} else if !f.Kind.Once() {
				<-ctx.Done()
			}
			heal()
		})
	}
}

// wait waits for a time, or until ctx ends, and says whether it was not ctx.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Inject has a fault happen now, whatever its times say, and returns what heals
// it, which waits until hosts that were down are on their way up, and may be
// called twice.
func (w *World) Inject(f fault.Fault) (heal func(), err error) {
	if err := f.Check(); err != nil {
		return nil, fmt.Errorf("inject %q: %w", f, err)
	}
	if f.A != "" && len(w.at(f.A)) == 0 {
		return nil, fmt.Errorf("inject %q: there is nobody at %s", f, f.A)
	}
	w.Trace.Add(trace.Event{Kind: trace.Fault, Host: f.A, Peer: f.B, Name: f.String(), Detail: string(f.Kind), Took: f.For})
	undo, err := w.inject(f)
	if err != nil {
		return nil, err
	}
	if f.Kind.Once() {
		return func() {}, nil
	}
	w.mu.Lock()
	w.active = append(w.active, f)
	w.mu.Unlock()
	var once sync.Once
	return func() { once.Do(func() { w.heal(f, undo) }) }, nil
}

func (w *World) heal(f fault.Fault, undo func()) {
	undo()
	w.mu.Lock()
	if i := slices.Index(w.active, f); i >= 0 {
		w.active = slices.Delete(w.active, i, i+1)
	}
	w.mu.Unlock()
	w.Trace.Add(trace.Event{Kind: trace.Heal, Host: f.A, Peer: f.B, Name: f.String(), Detail: string(f.Kind)})
}

// at is the hosts at a place, the user's and the registry's among them.
func (w *World) at(place string) []string {
	var all []string
	for _, h := range append(w.Hosts(), userHost, registryHost) {
		if wire.Match(place, h, w.zone(h)) {
			all = append(all, h)
		}
	}
	return all
}

func (w *World) inject(f fault.Fault) (undo func(), err error) {
	switch f.Kind {
	case fault.Crash:
		return w.down(f, "crashed", w.Fleet.Crash), nil
	case fault.PowerCut:
		return w.down(f, "lost power", w.Fleet.PowerCut), nil
	case fault.Restart:
		return w.down(f, "stopped", w.Fleet.Stop), nil
	case fault.LoseRequest, fault.LoseReply, fault.Duplicate, fault.SlowCalls:
		return w.meddler.begin(f), nil
	case fault.Skew:
		hosts := w.at(f.A)
		for _, h := range hosts {
			w.clocks.turn(h, f.Delay)
		}
		return func() {
			for _, h := range hosts {
				w.clocks.turn(h, -f.Delay)
			}
		}, nil
	default:
		return w.Ground.Inject(f, w.zone)
	}
}

// down ends the instances at a place, each by itself, and starts them again
// when that is undone. One that is down already is left alone.
func (w *World) down(f fault.Fault, state string, end func(host string) error) (undo func()) {
	var ended []string
	up := w.Fleet.Up()
	for _, h := range w.at(f.A) {
		if slices.Contains(up, h) {
			ended = append(ended, h)
		}
	}
	var ending sync.WaitGroup
	for _, h := range ended {
		w.state(h, state)
		ending.Go(func() {
			if err := end(h); err != nil && f.Kind == fault.Restart {
				w.state(h, err.Error())
			}
		})
	}
	return func() {
		ending.Wait()
		for _, h := range ended {
			if err := w.Fleet.Launch(h); err != nil {
				w.violate("instances can be started", "", err.Error())
				continue
			}
			w.state(h, "back")
		}
	}
}

// state notes what became of a host.
func (w *World) state(host, what string) {
	w.Trace.Add(trace.Event{Kind: trace.State, Host: host, Name: what})
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.began.IsZero() {
		w.notes[host] = append(w.notes[host], fmt.Sprintf("%s at %.1fs", what, w.time().Seconds()))
	}
}

const registryHost = ground.Registry
