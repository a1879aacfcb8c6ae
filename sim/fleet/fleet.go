// Package fleet runs a whole fleet in one process: every instance is a node of
// its own, on ground that can be spoilt.
//
// The roles are the ones that are deployed.
package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"example.com/app/platform/app"
	"example.com/app/platform/edge"
	"example.com/app/platform/identity"
)

// A Ground is a fabric whose hosts can crash and come back.
type Ground interface {
	app.Fabric

	// Crash takes a host off the network and makes it fall silent in the
	// registry. What runs there is not told.
	Crash(host string)

	// Restore lets a new start happen on a host that crashed. It is called
	// before the start.
	Restore(host string)
}

// A Fleet is a set of hosts, one instance on each. Its methods may be called
// from many goroutines, one at a time for each host.
type Fleet struct {
	// Each changes the settings of one node before it starts; nil: all have the
	// same. It is set before the first start.
	Each func(host string, cfg *app.Config)

	ground Ground
	node   app.Config // what all nodes share

	mu    sync.Mutex
	hosts map[string]*host
	down  map[string]bool // hosts that crashed and have not been started since
}

// A host is where one node runs. It outlives the node.
type host struct {
	node  *app.Node
	stop  context.CancelFunc
	ended chan struct{}
	err   error // what Run returned; read after ended
}

// New returns a fleet with no host up. All nodes get the settings of node,
// but for what makes them differ.
func New(ground Ground, node app.Config) *Fleet {
	if node.Gate.Rate == (edge.Rate{}) {
		node.Gate.Rate = edge.Rate{Count: -1} // all users come from one address
	}
	if s := &node.Security; s.Identity == nil && !s.Insecure {
		s.Identity = identity.NewMemory(identity.MemoryConfig{Now: node.Now}) // one for all: nodes with CAs of their own are strangers
	}
	return &Fleet{ground: ground, node: node, hosts: make(map[string]*host), down: make(map[string]bool)}
}

// Start starts the instance that a host is named after ("greeter-2"), and
// returns when its callers can find it, or with what kept it from starting.
// Where ctx ends first it goes on starting, for Stop or Close to end.
func (f *Fleet) Start(ctx context.Context, name string) error {
	h, err := f.launch(name)
	if err != nil {
		return err
	}
	select {
	case <-h.node.Started():
		return nil
	case <-h.ended:
		f.forget(name, h)
		return fmt.Errorf("start %s: %w", name, cmp.Or(h.err, errors.New("it ended at once")))
	case <-ctx.Done():
		return fmt.Errorf("start %s: %w", name, ctx.Err())
	}
}

// Settings are those that all nodes share.
func (f *Fleet) Settings() app.Config { return f.node }

// InFlight is the number of calls that an instance is answering; 0 where it is
// not up.
func (f *Fleet) InFlight(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h := f.hosts[name]; h != nil {
		return h.node.InFlight()
	}
	return 0
}

// Started says whether an instance is up, so that its callers can find it.
func (f *Fleet) Started(name string) bool {
	f.mu.Lock()
	h := f.hosts[name]
	f.mu.Unlock()
	if h == nil {
		return false
	}
	select {
	case <-h.ended:
		return false
	case <-h.node.Started():
		return true
	default:
		return false
	}
}

// Launch starts an instance without waiting for it.
func (f *Fleet) Launch(name string) error {
	_, err := f.launch(name)
	return err
}

func (f *Fleet) launch(name string) (*host, error) {
	role, number, err := Parse(name)
	if err != nil {
		return nil, err
	}
	cfg := f.node
	cfg.Fabric, cfg.Run, cfg.First = f.ground, map[string]int{role: 1}, number
	cfg.Metrics = nil // one registry cannot hold two starts of one host
	if f.Each != nil {
		f.Each(name, &cfg)
	}
	node, err := app.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	ctx, stop := context.WithCancel(context.Background()) // its life is the host's, ended by Stop, Crash or Close
	h := &host{node: node, stop: stop, ended: make(chan struct{})}
	if err := f.enter(name, h); err != nil {
		stop()
		return nil, err
	}
	go func() {
		defer close(h.ended)
		h.err = node.Run(ctx)
	}()
	return h, nil
}

// enter puts a host on the list, and back on the ground where it crashed.
func (f *Fleet) enter(name string, h *host) error {
	f.mu.Lock()
	if f.hosts[name] != nil {
		f.mu.Unlock()
		return fmt.Errorf("start %s: it is up already", name)
	}
	f.hosts[name] = h
	down := f.down[name]
	delete(f.down, name)
	f.mu.Unlock()
	if down {
		f.ground.Restore(name)
	}
	return nil
}

// Stop stops an instance as SIGTERM does, and returns when it has ended.
func (f *Fleet) Stop(name string) error {
	h, err := f.take(name)
	if err != nil {
		return err
	}
	h.stop()
	<-h.ended
	return h.err
}

// Crash ends an instance as the death of its process does: peers see their
// connections reset, nobody is told, nothing is drained. Start brings it back.
func (f *Fleet) Crash(name string) error { return f.end(name, f.ground.Crash) }

// PowerCut ends an instance as a loss of power does: peers see nothing at all,
// until they send something after it has been started again. Where the ground
// knows no such thing it is a crash.
func (f *Fleet) PowerCut(name string) error {
	if g, ok := f.ground.(interface{ PowerCut(host string) }); ok {
		return f.end(name, g.PowerCut)
	}
	return f.Crash(name)
}

// end takes a host off the ground at once, and ends what runs there.
func (f *Fleet) end(name string, off func(host string)) error {
	h, err := f.take(name)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.down[name] = true
	f.mu.Unlock()
	off(name)
	h.node.Kill()
	<-h.ended
	h.stop()
	return nil
}

// Close stops all instances, callers before whom they call: first the roles
// that come first in the system's list.
func (f *Fleet) Close() error {
	var all error
	for _, role := range f.node.Roles {
		var stopping sync.WaitGroup
		up := f.Up()
		errs := make([]error, len(up))
		for i, name := range up {
			if r, _, _ := Parse(name); r == role.Name {
				stopping.Go(func() { errs[i] = f.Stop(name) })
			}
		}
		stopping.Wait()
		all = errors.Join(all, errors.Join(errs...))
	}
	return all
}

// forget takes an instance that ended by itself off the list.
func (f *Fleet) forget(name string, h *host) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hosts[name] == h {
		delete(f.hosts, name)
	}
}

// Up lists the hosts that run an instance, sorted.
func (f *Fleet) Up() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := make([]string, 0, len(f.hosts))
	for name := range f.hosts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (f *Fleet) take(name string) (*host, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h, ok := f.hosts[name]
	if !ok {
		return nil, fmt.Errorf("%s is not up", name)
	}
	delete(f.hosts, name)
	return h, nil
}

// Parse splits "greeter-2" into the role and the number.
func Parse(name string) (role string, number int, err error) {
	i := strings.LastIndexByte(name, '-')
	if i > 0 {
		number, err = strconv.Atoi(name[i+1:])
	}
	if i <= 0 || err != nil || number < 1 {
		return "", 0, fmt.Errorf("%q is no host: want role-number, as in greeter-2", name)
	}
	return name[:i], number, nil
}
