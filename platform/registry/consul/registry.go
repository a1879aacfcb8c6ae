// Package consul finds instances through a Consul agent.
//
// It trusts Consul late and never all at once: an answer that fails, or that
// is suddenly empty, takes no address away from anybody, and what Consul lost
// is told to it again. Everything goes through the agent's HTTP API.
//
//	Register ── agent: register, TTL heartbeat, read back ──┐
//	Watch ── one blocking query per role and datacentre ────┴── Consul
package consul

import (
	"context"
	"hash/fnv"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/consul/api"

	"example.com/app/platform/registry"
)

// A Registry is a registry.Registry over one Consul agent. Its methods may be
// called from many goroutines; it has none of its own while no Watch and no
// Register is under way. Watches of one role share one query.
type Registry struct {
	config  Config
	client  *api.Client
	metrics *metrics
	places  *places
	idle    func() // closes idle connections

	mu      sync.Mutex
	users   int               // calls of Watch and Register under way
	watches map[string]*watch // by role
}

// enter counts a call in; what it returns counts it out. The last to leave
// closes the connections, so that an idle Registry holds nothing.
func (r *Registry) enter() func() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.users++
	return func() {
		r.mu.Lock()
		r.users--
		last := r.users == 0
		r.mu.Unlock()
		if last {
			r.idle()
		}
	}
}

// random returns the source of jitter that belongs to an event, so that one
// loop's draws do not depend on another's.
func (r *Registry) random(event string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(event))
	return rand.New(rand.NewPCG(r.config.Seed, h.Sum64()))
}

// join returns the shared watch of a role, begun if need be, and what to call
// when done with it. The last to leave ends it and waits for its end.
func (r *Registry) join(role string) (*watch, func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.watches[role]
	if w == nil {
		ctx, cancel := context.WithCancel(context.Background())
		w = newWatch(r, role, cancel)
		r.watches[role] = w
		go w.run(ctx)
	}
	w.readers++
	return w, func() {
		if r.abandon(w) {
			w.cancel()
			<-w.done
		}
	}
}

// abandon counts a reader of w out and reports whether it was the last.
func (r *Registry) abandon(w *watch) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.readers--
	if w.readers > 0 {
		return false
	}
	delete(r.watches, w.role)
	return true
}

// Watch implements registry.Registry. It yields an error when Consul stops
// answering, and again when it does so for another reason.
func (r *Registry) Watch(ctx context.Context, role string) iter.Seq2[[]registry.Instance, error] {
	return func(yield func([]registry.Instance, error) bool) {
		if ctx.Err() != nil {
			return
		}
		defer r.enter()()
		w, leave := r.join(role)
		defer leave()
		var seen view
		for ctx.Err() == nil {
			now, changed := w.look()
			if now.known && (!seen.known || !registry.Same(seen.set, now.set)) && !yield(clones(now.set), nil) {
				return
			}
			if now.err != nil && now.outage != seen.outage && !yield(nil, now.err) {
				return
			}
			seen = now
			select {
			case <-ctx.Done():
			case <-changed:
			}
		}
	}
}

func clones(set []registry.Instance) []registry.Instance {
	out := make([]registry.Instance, len(set))
	for i, in := range set {
		out[i] = in.Clone()
	}
	return out
}

// Status implements registry.Reporter.
func (r *Registry) Status() []registry.Status {
	var all []registry.Status
	for _, w := range r.watching() {
		all = append(all, w.status())
	}
	slices.SortFunc(all, func(a, b registry.Status) int { return strings.Compare(a.Role, b.Role) })
	return all
}

func (r *Registry) watching() []*watch {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*watch
	for _, w := range r.watches {
		all = append(all, w)
	}
	return all
}
