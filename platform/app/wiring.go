package app

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"net"
	"slices"
	"strings"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/credentials"

	"example.com/app/platform/balance"
	"example.com/app/platform/network"
	"example.com/app/platform/registry"
	"example.com/app/platform/resilience"
	"example.com/app/platform/rpc"
)

// newEnv is what the instance's role gets.
func (n *Node) newEnv(in *instance, reg registry.Registry, net network.Network) (*Env, error) {
	metrics := prometheus.WrapRegistererWith(prometheus.Labels{"role": in.role.Name, "host": in.host}, n.cfg.Metrics)
	calls := grpcprom.NewClientMetrics(grpcprom.WithClientHandlingTimeHistogram())
	copies := rpc.NewHedgeMetrics()
	metrics.MustRegister(calls, copies) // fails only for two instances of one name, which New does not make
	id := in.id()
	in.registry = registry.Track(reg)
	reg = view{in.registry, n, in.host + "." + n.cfg.Name}
	log := n.cfg.Log.With("role", in.role.Name, "instance", id)
	in.balancers = &balancers{cfg: n.cfg, made: func(role string) balance.Config {
		cfg := balance.Config{Role: role, Log: log, Prober: rpc.Prober{}}
		if n.cfg.PreferZone {
			cfg.Zone.Own = n.cfg.Zone
		}
		return cfg
	}}
	metrics.MustRegister(balance.Collector(in.balancers.reports))
	in.env = &Env{
		Role: in.role.Name, Instance: id, Version: n.cfg.Version, Zone: n.cfg.Zone,
		Log:     log,
		Metrics: metrics, Now: n.cfg.Now,
		Registry: reg, Network: net,
		host: in.host, facts: n.cfg.Facts,
		Roles: n.cfg.Roles, Routes: n.cfg.Routes, Gate: n.cfg.Gate,
		clients: &clients{
			cfg:         rpc.ClientConfig{Registry: reg, Network: net, Metrics: calls, HedgeMetrics: copies, Methods: n.cfg.Methods},
			balance:     n.cfg.balance,
			balancers:   in.balancers,
			credentials: in.credentials,
		},
	}
	in.env.Issuer = n.issuer(in)
	var err error
	if in.guard, err = in.newGuard(in.env.Issuer); err != nil {
		return nil, fmt.Errorf("decide who may call: %w", err)
	}
	in.env.guard = in.guard
	return in.env, nil
}

// credentials are those of a connection to a role; nil: none.
func (in *instance) credentials(role string) credentials.TransportCredentials {
	if in.guard.workload == nil {
		return nil
	}
	return in.guard.workload.Client(role)
}

// A view is the registry as the roles of a node see it: of the roles they call,
// the instances that the node was told to call.
type view struct {
	registry.Registry
	node   *Node
	caller string // who calls, the same after a restart
}

// Watch implements registry.Registry.
func (v view) Watch(ctx context.Context, role string) iter.Seq2[[]registry.Instance, error] {
	cfg, reg := v.node.cfg, v.Registry
	if s, ok := cfg.Select[role]; ok {
		reg = registry.Select(reg, s)
	}
	if cfg.balance(role).Subset > 0 {
		reg = registry.Part(reg, v.subset)
	}
	return reg.Watch(ctx, role)
}

// id names the instance for its life: who it is, where, and which start it is,
// so that a restart at the same address is not taken for the one before it.
func (in *instance) id() string {
	parts := []string{in.host}
	if name := in.node.cfg.Name; name != "" {
		parts = append(parts, name)
	}
	return strings.Join(append(parts, fmt.Sprintf("%06x", rand.Uint32N(1<<24))), "-")
}

// newRPCServer makes the instance's gRPC server, its service registered.
func (in *instance) newRPCServer() *rpc.Server {
	cfg := rpc.ServerConfig{
		Role:    in.role.Name,
		Log:     in.env.Log,
		Metrics: grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram()),
		Workers: in.workers(),
		Limiter: in.limiter(),
		Methods: in.node.cfg.Methods,
		Guard:   in.guard,
	}
	if in.guard.workload != nil {
		cfg.Credentials = in.guard.workload.Server()
	}
	in.env.Metrics.MustRegister(cfg.Metrics)
	if observe := in.node.cfg.Observe; observe != nil {
		cfg.Observe = func(c rpc.Call) { observe(Call{in.role.Name, in.host, c}) }
	}
	if around := in.node.cfg.Around; around != nil {
		cfg.Around = around(in.role.Name, in.host)
	}
	s := rpc.NewServer(cfg)
	in.service.Register(s)
	return s
}

func (in *instance) workers() *resilience.Workers {
	return resilience.NewWorkers(in.node.cfg.Work[in.role.Name])
}

// limiter bounds the calls of the instance, and of no other: a role that is
// flooded must not starve its neighbours.
func (in *instance) limiter() *resilience.Limiter {
	cfg, ok := in.node.cfg.Limits[in.role.Name]
	if !ok {
		cfg = in.node.cfg.Limits[""]
	}
	l := resilience.NewLimiter(cfg)
	in.env.Metrics.MustRegister(l)
	return l
}

// describe fills in what the registry will say of the instance.
func (in *instance) describe() error {
	_, port, err := net.SplitHostPort(in.ln.Addr().String())
	if err != nil {
		return fmt.Errorf("start %s: advertise %s: %w", in.host, in.ln.Addr(), err)
	}
	addr := in.ln.Addr().String()
	if host := in.node.cfg.Advertise; host != "" && in.ln.Addr().Network() == "tcp" { // in memory a host has the name it has
		addr = net.JoinHostPort(host, port)
	} else if addr, err = network.Reachable(addr); err != nil {
		return fmt.Errorf("start %s: advertise %s: %w", in.host, in.ln.Addr(), err)
	}
	protocol := "grpc"
	if _, ok := in.server.(*httpServer); ok {
		protocol = "http"
	}
	in.self = registry.Instance{
		ID: in.env.Instance, Role: in.role.Name, Addr: addr,
		Version: in.env.Version, Zone: in.env.Zone, Weight: 1, Started: in.node.cfg.Now(),
		Tags: slices.Sorted(slices.Values(append([]string{protocol}, in.node.cfg.Tags...))), Meta: map[string]string{"protocol": protocol, "host": in.host},
	}
	return nil
}
