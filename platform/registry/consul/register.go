package consul

import (
	"context"
	"math/rand/v2"
	"time"

	"example.com/app/platform/errs"
	"example.com/app/platform/registry"
)

// readBack is how often an agent that says it is well is checked for what it
// really knows.
const readBack = 30 * time.Second

// An announcement is one call of Register under way. It belongs to one
// goroutine.
type announcement struct {
	agent
	registry.Registration
	registry *Registry
	rand     *rand.Rand

	swept    bool      // what an earlier run left is gone
	begun    bool      // the agent may know the instance
	enrolled bool      // the agent has known it
	trusted  time.Time // when the agent was last known to know it; zero: in doubt
	seen     bool      // the catalogue has listed it since it was registered
	operator string    // why an operator keeps it out
}

// Register implements registry.Registry.
func (r *Registry) Register(ctx context.Context, reg registry.Registration) error {
	if err := reg.Validate(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return nil
	}
	defer r.enter()()
	reg.Instance = reg.Clone()
	a := &announcement{
		agent:        agent{r.client, service(reg.Instance), r.config.TTL, r.config.GC},
		Registration: reg, registry: r, rand: r.random("register " + reg.ID),
	}
	a.run(ctx)
	if !a.begun {
		return nil
	}
	return a.deregister(context.WithoutCancel(ctx), reg.ID)
}

// run keeps the instance listed until ctx ends.
func (a *announcement) run(ctx context.Context) {
	var fate registry.Fate
	back := backoff{rand: a.rand}
	for ctx.Err() == nil {
		state, err := a.turn(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			fate.Tell(a.report, state)
			back.reset()
			pause(ctx, a.jitter(a.ttl/3))
			continue
		}
		fate.Tell(a.report, err)
		a.trusted = time.Time{}
		back.most = patience(err, a.ttl)
		pause(ctx, back.next())
	}
}

// patience is the longest pause between tries. An agent that comes back must
// not wait long for its instances; one that refuses them will go on refusing.
func patience(err error, ttl time.Duration) time.Duration {
	if errs.Denied.Is(err) || errs.Unauthenticated.Is(err) {
		return 10 * time.Second
	}
	return min(ttl/3, 4*time.Second)
}

// report passes a change of fate on. Who registered logs it, or does not.
func (a *announcement) report(err error) {
	if a.Report != nil {
		a.Report(err)
	}
}

// jitter spreads d by a tenth to either side.
func (a *announcement) jitter(d time.Duration) time.Duration {
	return d + time.Duration((a.rand.Float64()-0.5)/5*float64(d))
}

// turn does what is due and renews the TTL. It returns why the instance is not
// listed although the agent does its work, or an error of that work.
func (a *announcement) turn(ctx context.Context) (state, err error) {
	var sick error
	if a.Health != nil {
		sick = a.Health()
	}
	if err := a.ensure(ctx, sick); err != nil {
		return nil, err
	}
	if err := a.beat(ctx, sick); err != nil {
		return nil, err
	}
	switch {
	case sick != nil:
		return sick, nil
	case a.operator != "":
		return errs.Unavailable.New("%s is %s", a.ID, a.operator), nil
	case a.seen:
		return nil, nil
	}
	a.seen, err = a.agent.seen(ctx)
	if err == nil && !a.seen {
		state = errs.Unavailable.New("%s is registered, and not in the catalogue yet", a.ID)
	}
	return state, err
}

// ensure reads back what the agent knows when that is due, and registers the
// instance if it is not that.
func (a *announcement) ensure(ctx context.Context, sick error) error {
	if !a.trusted.IsZero() && a.operator == "" && time.Since(a.trusted) < a.jitter(readBack) {
		return nil
	}
	if err := a.clean(ctx); err != nil {
		return err
	}
	ok, err := a.known(ctx)
	if err != nil {
		return err
	}
	if !ok {
		if err := a.enrol(ctx, sick); err != nil {
			return err
		}
	}
	a.operator, err = a.maintenance(ctx)
	if err == nil {
		a.trusted = time.Now()
	}
	return err
}

// enrol registers the instance, and counts it if that is not the first time.
func (a *announcement) enrol(ctx context.Context, sick error) error {
	a.begun, a.seen = true, false
	if err := a.register(ctx, sick); err != nil {
		return err
	}
	if a.enrolled {
		a.registry.metrics.again.WithLabelValues(a.Role).Inc()
	}
	a.enrolled = true
	return nil
}

// clean removes, once, what an earlier run left behind. A token that may not
// do so is no reason to stay away.
func (a *announcement) clean(ctx context.Context) error {
	if a.swept {
		return nil
	}
	err := a.sweep(ctx, a.Instance)
	if errs.Denied.Is(err) {
		err = nil
	}
	a.swept = err == nil
	return err
}
