// Package ground is what a simulated fleet stands on: a network with faults, and
// a Consul agent on it, with faults of its own, that the real client of Consul
// asks over that network.
package ground

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/hashicorp/consul/api"

	"example.com/app/platform/network"
	"example.com/app/platform/registry"
	"example.com/app/platform/registry/consul"
	"example.com/app/platform/registry/consul/consultest/fake"
	"example.com/app/platform/registry/consul/consultest/state"
	"example.com/app/sim/wire"
)

// Registry is the host that Consul's agent runs on, for faults that fall
// between it and others.
const Registry = "registry"

const address = Registry + ":8500"

// A Ground is an app.Fabric whose hosts can crash. Use New. Its methods may be
// called from many goroutines.
type Ground struct {
	*wire.Network

	seed   uint64
	store  *state.Store
	agent  *fake.Agent
	server *http.Server
	over   chan struct{} // closed when the agent's server has ended

	mu       sync.Mutex
	programs map[string]*consul.Registry // by host, of its incarnation of now
}

// New returns ground with nobody on it.
func New(cfg wire.Config) (*Ground, error) {
	store := state.New("dc1")
	g := &Ground{
		Network: wire.New(cfg), seed: cfg.Seed, store: store, agent: fake.New(Registry, store),
		over: make(chan struct{}), programs: map[string]*consul.Registry{},
	}
	l, err := g.Network.Host(Registry).Listen(context.Background(), address)
	if err != nil {
		return nil, fmt.Errorf("start the registry: %w", err)
	}
	g.server = &http.Server{Handler: g.agent} //nolint:gosec // its clients are ours
	go func() {
		defer close(g.over)
		_ = g.server.Serve(l)
	}()
	return g, nil
}

// Close ends the registry, and cuts what connections there are still.
func (g *Ground) Close(hosts ...string) {
	_ = g.server.Close()
	<-g.over
	for _, h := range append(hosts, Registry) {
		g.Network.Crash(h)
	}
}

// Host is the ground as a host sees it: app.Fabric.
func (g *Ground) Host(name string) (registry.Registry, network.Network) {
	net := g.Network.Host(name)
	g.mu.Lock()
	defer g.mu.Unlock()
	if reg := g.programs[name]; reg != nil {
		return reg, net
	}
	reg, err := consul.New(consul.Config{API: &api.Config{Address: address}, Network: net, Seed: g.seed ^ hash(name)})
	if err != nil {
		panic(err) // the configuration is ours
	}
	g.programs[name] = reg
	return reg, net
}

// Crash takes a host off the network; peers are reset.
func (g *Ground) Crash(host string) {
	g.forget(host)
	g.Network.Crash(host)
}

// PowerCut takes a host off the network; peers are not told.
func (g *Ground) PowerCut(host string) {
	g.forget(host)
	g.Network.PowerCut(host)
}

func (g *Ground) forget(host string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.programs, host)
}

// hash is FNV-1a.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// split is a fault that only some hosts see.
type split struct {
	fake.Fault
	sees func(host string) bool
}

// Spoil implements fake.Fault.
func (s split) Spoil(x *fake.Exchange, next func(*fake.Exchange)) {
	host, _, _ := strings.Cut(x.Request.RemoteAddr, ":")
	if s.sees(host) {
		s.Fault.Spoil(x, next)
		return
	}
	next(x)
}
