package command

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"example.com/app/platform/app"
	"example.com/app/platform/balance/policy"
	"example.com/app/platform/network"
	"example.com/app/platform/proxy"
	"example.com/app/platform/registry"
	"example.com/app/platform/registry/consul"
	"example.com/app/platform/rpc"
	"example.com/app/platform/telemetry"
)

// serving is what `app serve` was asked for.
type serving struct {
	roles, replicas, peers, routes, work []string
	selects, tags                        []string
	balance, subsets, hashHeaders        []string
	limits, methods                      []string
	preferZone                           bool
	registry, network                    string
	grpc, http, admin, advertise, zone   string
	drain, grace                         time.Duration
	log, logLevel                        string
	securing
}

// flags adds the flags, with their defaults.
func (s *serving) flags(f *pflag.FlagSet) {
	f.StringSliceVar(&s.roles, "role", nil, "roles to run, separated by commas, or all")
	f.StringSliceVar(&s.replicas, "replicas", nil, "instances of a role in this process, as in greeter=3 (may be repeated)")
	f.StringVar(&s.registry, "registry", "auto", "where instances are found: memory, consul, static; auto is memory for all, else consul")
	f.StringVar(&s.network, "network", "auto", "how instances talk: memory, tcp; auto is memory with a memory registry, else tcp")
	f.StringArrayVar(&s.peers, "peer", nil, "an instance for --registry=static, as in greeter=10.0.0.7:50051 (may be repeated)")
	f.StringVar(&s.grpc, "grpc", ":50051", "address for gRPC; over TCP each further instance takes the next port; :0 takes free ones")
	f.StringVar(&s.http, "http", ":8080", "address of the gateway")
	f.StringVar(&s.admin, "admin", "127.0.0.1:9090", "address for health, metrics and profiles; empty: none")
	f.StringVar(&s.advertise, "advertise", "", "host that others dial; default: where it listens, or this machine's private address")
	f.StringVar(&s.zone, "zone", "", "failure domain of this process")
	f.BoolVar(&s.preferZone, "prefer-zone", false, "call instances of the own --zone, as long as enough are fit and they are not much slower")
	f.StringArrayVar(&s.balance, "balance", nil, "how calls are shared: "+strings.Join(policy.Names(), ", ")+"; or for one role, as in greeter=prequal:probes=2 (may be repeated)")
	f.StringArrayVar(&s.hashHeaders, "hash-header", nil, "metadata or HTTP header that keeps calls together where the policy hashes, as in x-user or greeter=x-user (may be repeated)")
	f.StringArrayVar(&s.subsets, "subset", nil, "call at most so many instances of a role, the same ones each time, as in 10 or greeter=10 (may be repeated)")
	f.StringArrayVar(&s.selects, "select", nil, "which instances of a role to call, as in greeter=tag:canary,version:v2,zone:eu-1 (may be repeated)")
	f.StringSliceVar(&s.tags, "tag", nil, "a tag of the instances in the registry (may be repeated)")
	f.StringArrayVar(&s.routes, "route", nil, "HTTP prefix that the gateway proxies to a service of the registry, as in /shop=shop (may be repeated)")
	f.StringArrayVar(&s.work, "work", nil, "modelled work of a role: time per call, workers, waiting calls, as in greeter=20ms,workers=8 (may be repeated)")
	f.StringArrayVar(&s.limits, "limit", nil, "calls at a time of an instance; found by itself unless said: off, or bounds as in max=64,queue=32, or for one role, as in greeter=off (may be repeated)")
	f.StringArrayVar(&s.methods, "method", nil, "how a method is called and answered, as in /greeter.v1.Greeter/SayHello:timeout=1s,retry=off,hedge=on,priority=critical,weight=2; /greeter.v1.Greeter/ is all of a service, nothing all (may be repeated)")
	f.DurationVar(&s.drain, "drain", 5*time.Second, "how long to answer after leaving the registry; default 0s where all is in memory")
	f.DurationVar(&s.grace, "grace", 30*time.Second, "how long a stop may take for one instance before calls are cut")
	s.securing.flags(f)
	f.StringVar(&s.log, "log", "auto", "log format: text, json (Elastic Common Schema); auto is text on a terminal")
	f.StringVar(&s.logLevel, "log-level", "info", "lowest level that is logged: debug, info, warn, error")
}

// config turns flags into a Config, or into an error that says which is wrong.
func (s *serving) config(all []app.Role, version string, std streams, drainSet bool) (app.Config, error) {
	if len(s.roles) == 0 {
		return app.Config{}, &UsageError{&HintError{fmt.Errorf("which role? --role is missing"), "app serve --role=all runs the whole system; `app roles` lists the roles"}}
	}
	run, err := Pick(all, s.roles)
	if err != nil {
		return app.Config{}, err
	}
	whole := slices.Contains(s.roles, "all")
	cfg := app.Config{
		Roles: all, Version: version, Zone: s.zone, Tags: s.tags, PreferZone: s.preferZone,
		GRPC: s.grpc, HTTP: s.http, Admin: s.admin, Advertise: s.advertise,
		Drain: s.drain, Grace: s.grace, Edge: new(network.TCP),
		Metrics: prometheus.NewRegistry(),
	}
	if cfg.Run, err = Counts(all, run, whole, s.replicas); err != nil {
		return app.Config{}, err
	}
	if cfg.Log, err = s.newLog(std.err, version); err != nil {
		return app.Config{}, &UsageError{err}
	}
	if cfg.Work, err = ParseWork(all, s.work); err != nil {
		return app.Config{}, err
	}
	if cfg.Select, err = s.selectors(); err != nil {
		return app.Config{}, err
	}
	if s.preferZone && s.zone == "" {
		return app.Config{}, usage("--prefer-zone needs --zone")
	}
	if cfg.Balance, err = s.shares(); err != nil {
		return app.Config{}, err
	}
	if cfg.Limits, err = ParseLimits(all, s.limits); err != nil {
		return app.Config{}, err
	}
	if cfg.Methods, err = rpc.ParseMethods(s.methods); err != nil {
		return app.Config{}, usage("--method: %w", err)
	}
	if cfg.Routes, err = proxy.ParseRoutes(s.routes); err != nil {
		return app.Config{}, usage("--route: %w", err)
	}
	if err := s.addresses(); err != nil {
		return app.Config{}, err
	}
	if s.drain < 0 || s.grace <= 0 {
		return app.Config{}, usage("--drain must be 0s or more, --grace above 0s")
	}
	if err := s.ground(&cfg, whole, drainSet); err != nil {
		return app.Config{}, err
	}
	return cfg, s.secure(&cfg, whole, std.in)
}

// streams are those of the command.
type streams struct {
	in  io.Reader
	err io.Writer
}

// addresses checks those that the flags name.
func (s *serving) addresses() error {
	for _, flag := range []struct{ name, addr string }{{"grpc", s.grpc}, {"http", s.http}, {"admin", s.admin}} {
		if flag.addr == "" {
			continue
		}
		_, port, err := net.SplitHostPort(flag.addr)
		if err != nil {
			return usage("--%s: %w: want host:port or :port", flag.name, err)
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return usage("--%s %q: the port must be a number from 0 to 65535", flag.name, flag.addr)
		}
	}
	if h := s.advertise; h != "" && net.ParseIP(h) == nil && strings.ContainsAny(h, ":/ []") {
		return usage("--advertise %q: want a host name or an IP address, without a port", h)
	}
	return nil
}

// selectors reads which instances of a role, or of a proxied service, to call.
func (s *serving) selectors() (map[string]registry.Selector, error) {
	chosen := make(map[string]registry.Selector)
	for _, text := range s.selects {
		role, selector, ok := strings.Cut(text, "=")
		if !ok || role == "" {
			return nil, usage("--select %q: want role=selector, as in greeter=tag:canary,version:v2", text)
		}
		var err error
		if chosen[role], err = registry.ParseSelector(selector); err != nil {
			return nil, usage("--select %q: %w", text, err)
		}
	}
	return chosen, nil
}

func (s *serving) newLog(stderr io.Writer, version string) (*slog.Logger, error) {
	cfg := telemetry.LogConfig{Format: s.log, Service: "app", Version: version}
	if err := cfg.Level.UnmarshalText([]byte(s.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level %q: want debug, info, warn or error", s.logLevel)
	}
	if s.log == "auto" {
		cfg.Format = "json"
		if f, ok := stderr.(*os.File); ok {
			if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
				cfg.Format = "text"
			}
		}
	}
	return telemetry.NewLog(stderr, cfg)
}

// kind is that of the registry.
func (s *serving) kind(whole bool) string {
	switch {
	case s.registry != "auto":
		return s.registry
	case whole:
		return "memory"
	}
	return "consul"
}

// ground chooses the registry and the network.
func (s *serving) ground(cfg *app.Config, whole, drainSet bool) error {
	kind := s.kind(whole)
	memory := app.Memory()
	tcp := app.One(nil, new(network.TCP))
	var registries, networks app.Fabric = memory, tcp
	var err error
	switch kind {
	case "memory":
	case "consul":
		registries, err = app.Consul(consul.Config{Log: cfg.Log, Metrics: cfg.Metrics})
		if err != nil {
			return &HintError{err, "CONSUL_HTTP_ADDR and its kin say where Consul is and how to talk to it"}
		}
	case "static":
		var peers registry.Static
		for _, text := range s.peers {
			peer, err := registry.ParsePeer(text)
			if err != nil {
				return usage("--peer: %w", err)
			}
			peers = append(peers, peer)
		}
		registries = app.Static(peers)
	default:
		return usage("--registry %q: want auto, memory, consul or static", s.registry)
	}
	if len(s.peers) > 0 && kind != "static" {
		return usage("--peer needs --registry=static")
	}
	switch {
	case s.network == "memory" || s.network == "auto" && kind == "memory":
		networks = memory
		if !drainSet {
			cfg.Drain = 0 // who is in this process hears of it at once
		}
	case s.network == "tcp" || s.network == "auto":
		cfg.Spread = true
	default:
		return usage("--network %q: want auto, memory or tcp", s.network)
	}
	cfg.Fabric = app.Mix(registries, networks)
	return nil
}
