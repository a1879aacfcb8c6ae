package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"example.com/app/platform/registry"
)

// An instance is one running copy of a role: what it is made of, and its life.
//
//	up:   listen → NOT_SERVING → dependencies ready → SERVING → register → seen → started
//	down: NOT_SERVING → deregister → keep serving (drain) → stop, graceful until the deadline → close clients
type instance struct {
	node *Node
	role Role
	host string // its name on the fabric

	env       *Env
	guard     *guard
	balancers *balancers
	registry  registry.Registry // as it is; env has the role's view of it
	service   Service
	server    server
	ln        net.Listener
	self      registry.Instance

	callers []*instance   // in this process: they stop first
	stop    chan struct{} // closed when it shall stop
	stopped sync.Once
	started chan struct{} // closed when callers can find it
	gone    chan struct{} // closed when it has ended
	state   state
}

// A server answers calls over one protocol: rpc.Server, or httpServer.
type server interface {
	Serve(net.Listener) error
	SetServing(bool)
	InFlight() int
	Stop(context.Context) int
}

// prepare builds the service and listens. Where it fails nothing is left
// behind that close does not end.
func (in *instance) prepare(ctx context.Context) error {
	reg, network := in.node.cfg.Fabric.Host(in.host)
	var err error
	if in.env, err = in.node.newEnv(in, reg, network); err != nil {
		return fmt.Errorf("start %s: %w", in.host, err)
	}
	if in.service, err = in.role.New(in.env); err != nil {
		return fmt.Errorf("start %s: %w", in.host, err)
	}
	base, shared := in.node.cfg.GRPC, in.node.cfg.Spread
	if handler, ok := in.service.(http.Handler); ok {
		base = in.node.cfg.HTTP
		if edge := in.node.cfg.Edge; edge != nil && in.role.Edge {
			network, shared = edge, true // one host, whatever the fabric is
		}
		in.server = newHTTPServer(in, handler)
	} else {
		calls := in.newRPCServer()
		in.server = calls
		if err := in.guard.know(calls.Methods()); err != nil {
			return fmt.Errorf("start %s: %w", in.host, err)
		}
		if len(calls.Services()) == 0 {
			return fmt.Errorf("start %s: the role registers no gRPC service and is no http.Handler", in.host)
		}
	}
	up := 0
	if shared {
		up = in.place()
	}
	addr, err := address(base, up)
	if err != nil {
		return fmt.Errorf("start %s: %w", in.host, err)
	}
	if in.ln, err = network.Listen(ctx, addr); err != nil {
		return fmt.Errorf("start %s: %w", in.host, err)
	}
	return in.describe()
}

// place counts the instances before this one that speak its protocol.
func (in *instance) place() int {
	_, web := in.service.(http.Handler)
	place := 0
	for _, other := range in.node.instances {
		if other == in {
			break
		}
		if _, otherWeb := other.service.(http.Handler); otherWeb == web {
			place++
		}
	}
	return place
}

// run is the instance's life. It returns when everything it started has ended:
// nil, what broke it, or a CutError.
func (in *instance) run() error {
	defer close(in.gone)
	defer in.state.set(phaseGone, nil)

	life, end := context.WithCancel(context.Background()) // ends after the last call, whatever happens
	defer end()
	broken := make(chan error, 3)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	task := func(name string, f func() error) {
		tasks.Go(func() {
			if err := f(); err != nil && life.Err() == nil {
				broken <- fmt.Errorf("%s: %s: %w", in.host, name, err)
			}
		})
	}

	task("answer calls", func() error { return in.server.Serve(in.ln) })
	if r, ok := in.service.(Runner); ok {
		task("run", func() error { return r.Run(life) })
	}
	in.guard.run(life, task)
	leave := in.register(task)
	err := in.wait(broken)
	cut := in.down(leave)
	end()
	tasks.Wait()
	select {
	case late := <-broken:
		if err == nil { // it broke while it stopped, and the stop went on
			in.env.Log.Warn("broke while stopping", slog.Any("error", late))
		}
	default:
	}
	if closing := in.env.clients.close(); closing != nil {
		in.env.Log.Warn("close clients", slog.Any("error", closing))
	}
	if err == nil && cut > 0 {
		err = &CutError{Host: in.host, Calls: cut}
	}
	return err
}

// wait blocks until the instance shall stop and nobody in this process needs
// it any more, or until it is broken or killed.
func (in *instance) wait(broken <-chan error) error {
	select {
	case err := <-broken:
		return err
	case <-in.node.killed:
		return nil
	case <-in.stop:
	}
	for _, caller := range in.callers {
		select {
		case err := <-broken:
			return err
		case <-in.node.killed:
			return nil
		case <-caller.gone:
		}
	}
	return nil
}

// register brings the instance up to its callers: it waits for what the role
// needs, says SERVING, and keeps the instance in the registry. The returned
// function takes it off again, and returns when that is done or ctx has ended:
// a registry that hangs must not keep the server from its stop.
func (in *instance) register(task func(string, func() error)) (leave func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	left := make(chan struct{})
	task("register", func() error {
		defer close(left)
		if !in.ready(ctx) {
			return nil
		}
		in.server.SetServing(true)
		in.state.set(phaseServing, errors.New("not registered yet"))
		task("see itself", func() error { return in.seeItself(ctx) })
		err := in.registry.Register(ctx, registry.Registration{Instance: in.self, Health: in.check, Report: in.report})
		if ctx.Err() == nil {
			return err
		}
		if err != nil {
			in.env.Log.Warn("deregister", slog.Any("error", err))
		}
		return nil
	})
	return func(until context.Context) {
		cancel()
		select {
		case <-left:
		case <-until.Done():
		}
	}
}

// ready waits for a certificate and for the service's own check, as long as it
// takes, and for the roles that were dialled and the issuer's keys, at most
// Config.WaitNeeds. It reports whether the instance may serve.
func (in *instance) ready(ctx context.Context) bool {
	if !until(ctx, in.guard.ready, in.waiting) {
		return false
	}
	needs, cancel := context.WithTimeout(ctx, in.node.cfg.WaitNeeds)
	defer cancel()
	in.state.set(phaseWaiting, fmt.Errorf("waiting for %v", in.calls()))
	if err := errors.Join(in.env.clients.ready(needs), in.guard.waitKeys(needs)); err != nil && ctx.Err() == nil {
		in.env.Log.Warn("serve without what it needs", slog.Any("error", err))
	}
	return until(ctx, in.check, in.waiting)
}

// waiting notes what the instance waits for.
func (in *instance) waiting(err error) { in.state.set(phaseWaiting, err) }

// until waits until check finds nothing amiss, and tells what is amiss each
// time. It reports whether that was before ctx ended.
func until(ctx context.Context, check func() error, tell func(error)) bool {
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for pause := time.Millisecond; ctx.Err() == nil; pause = min(2*pause, 100*time.Millisecond) {
		err := check()
		if err == nil {
			return true
		}
		tell(err)
		again.Reset(pause)
		select {
		case <-again.C:
		case <-ctx.Done():
		}
	}
	return false
}

// calls lists the roles that the instance calls, sorted.
func (in *instance) calls() []string {
	roles := in.env.clients.roles()
	if in.asksIssuer() && in.env.Issuer.inside() && !slices.Contains(roles, issuerRole) {
		roles = append(roles, issuerRole)
		slices.Sort(roles)
	}
	return roles
}

// check asks the service whether it can answer calls.
func (in *instance) check() error {
	if c, ok := in.service.(Checker); ok {
		return c.Check()
	}
	return nil
}

// report hears of the instance's fate in the registry.
func (in *instance) report(err error) {
	if err != nil {
		in.env.Log.Warn("not in the registry", slog.Any("error", err))
	}
	in.state.registered(err)
}

// seeItself returns when the registry shows the instance to its callers, or
// when it has not for a while: a registry tells the truth late, and one that
// is written by hand may never list who runs here.
func (in *instance) seeItself(ctx context.Context) error {
	message := "started, not seen in the registry yet"
	within, cancel := context.WithTimeout(ctx, in.node.cfg.WaitSeen)
	defer cancel()
	for set := range in.registry.Watch(within, in.role.Name) {
		if slices.ContainsFunc(set, func(other registry.Instance) bool { return other.ID == in.self.ID }) {
			message = "started"
			break
		}
	}
	if ctx.Err() == nil { // else it is on its way down, and never was up
		in.env.Log.Info(message, slog.String("addr", in.self.Addr))
		close(in.started)
	}
	return nil
}

// down is the way out, in the order that loses no call. It returns the number
// of calls it had to cut.
func (in *instance) down(leave func(context.Context)) int {
	deadline, cancel := context.WithTimeout(context.Background(), in.node.cfg.Grace)
	defer cancel()
	go func() { // ends with deadline
		select {
		case <-in.node.killed:
			cancel()
		case <-deadline.Done():
		}
	}()
	in.state.set(phaseDraining, nil)
	in.server.SetServing(false)
	leave(deadline)
	in.server.SetServing(false) // once more: it may have come up just now
	in.state.set(phaseDraining, nil)
	if in.state.wasListed() {
		drain := time.NewTimer(in.node.cfg.Drain)
		defer drain.Stop()
		select {
		case <-drain.C:
		case <-deadline.Done():
		}
	}
	in.state.set(phaseStopping, nil)
	cut := in.server.Stop(deadline)
	if cut > 0 {
		in.env.Log.Warn("calls were cut at the deadline", slog.Int("calls", cut))
	}
	return cut
}

// close ends an instance that was prepared and never ran.
func (in *instance) close() {
	if in.server != nil {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		in.server.Stop(ctx) // it has goroutines before it serves
	}
	if in.ln != nil {
		_ = in.ln.Close()
	}
	if in.env != nil {
		_ = in.env.clients.close()
	}
}

// shut asks the instance to stop. It may be called many times.
func (in *instance) shut() { in.stopped.Do(func() { close(in.stop) }) }
