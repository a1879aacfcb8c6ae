// Package proxy sends HTTP requests on to the instances of a service that a
// registry lists, whoever registered it.
//
// A request reaches a backend at most once unless repeating it is harmless.
// Only where an instance refuses the connection, so that nothing was sent, is
// another one tried. What a backend sees of where a request came from
// (X-Forwarded-For, -Host, -Proto, -Prefix, X-Real-Ip) is written here, never
// by the client. Host stays what the client sent, so that a backend's links and
// cookies fit the outside; X-Forwarded-Prefix tells what was cut off the path.
package proxy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httputil"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/policy"
	"example.com/app/platform/errs"
	"example.com/app/platform/network"
	"example.com/app/platform/registry"
)

// A Config is what a Proxy stands on. Registry and Network are needed; the zero
// value of everything else is its default.
type Config struct {
	Registry registry.Registry
	Network  network.Network
	Log      *slog.Logger          // nil: silent
	Metrics  prometheus.Registerer // nil: none

	// NewBalancer makes what picks the instances of one service. Nil: one with the
	// default policy.
	NewBalancer func(service string) *balance.Balancer

	// HashHeader is the header whose value sends requests for a service to the same
	// instance, where the policy hashes. Nil or empty: none.
	HashHeader func(service string) string

	// TLS is how a service is connected to. Nil, or where it returns nil: in plain
	// text.
	TLS func(service string) *tls.Config

	// Failure reports whether a status is one that a healthy instance would not
	// give. Nil: 5xx but 501.
	Failure func(status int) bool

	// Error answers with an error of package errs, with the status that errs.HTTP
	// finds in it. Nil: the error as a google.rpc.Status in JSON.
	Error func(http.ResponseWriter, *http.Request, error)

	// Deny lists services that no route may name. Nil: consul.
	Deny []string

	// FirstSet is how long a request waits for a service that nobody has heard
	// of yet. 0 means 2 s.
	FirstSet time.Duration

	// DialTimeout bounds one attempt to connect. 0 means 2 s.
	DialTimeout time.Duration

	// ResponseHeaderTimeout is how long a backend may keep a request waiting
	// for an answer to begin, all attempts together, not counting the time in
	// which the client keeps the backend waiting for its body. 0 means 30 s.
	ResponseHeaderTimeout time.Duration

	// MinRate is how many bytes a second the body of an answer must bring. One
	// that falls behind by more than BodyGrace, in silence or in dribbles, is
	// cut. Time in which the client does not read is not counted, and event
	// streams and websockets may be silent. 0 means 1 KiB; below 0: any rate
	// will do.
	MinRate   int
	BodyGrace time.Duration // 0 means 30 s

	MaxResponseHeaderBytes int64         // 0 means 64 KiB
	IdleConnsPerHost       int           // kept open to one instance; 0 means 64
	IdleTimeout            time.Duration // of a connection nobody uses; 0 means 30 s
}

// withDefaults fills in what zero values stand for.
func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.NewBalancer == nil {
		c.NewBalancer = func(service string) *balance.Balancer {
			return balance.New(balance.Config{Role: service, Policy: policy.PeakEWMA{}, Log: c.Log})
		}
	}
	if c.Error == nil {
		c.Error = writeJSON
	}
	if c.Failure == nil {
		c.Failure = failure
	}
	if c.Deny == nil {
		c.Deny = []string{"consul"}
	}
	orElse(&c.FirstSet, 2*time.Second)
	orElse(&c.DialTimeout, 2*time.Second)
	orElse(&c.ResponseHeaderTimeout, 30*time.Second)
	orElse(&c.MinRate, 1<<10)
	orElse(&c.BodyGrace, 30*time.Second)
	orElse(&c.MaxResponseHeaderBytes, 64<<10)
	orElse(&c.IdleConnsPerHost, 64)
	orElse(&c.IdleTimeout, 30*time.Second)
	return c
}

func orElse[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// A Proxy is an http.Handler for the paths of its routes. Run must run while it
// serves. Its methods may be called from many goroutines.
type Proxy struct {
	config   Config
	routes   table
	services map[string]*service
	carrier  *carrier
	reverse  *httputil.ReverseProxy
}

// New makes a proxy for routes. An error of kind errs.Invalid names the route
// that is wrong, twice there, or leads to a denied service; another one means
// that the metrics could not be registered.
func New(c Config, routes []Route) (*Proxy, error) {
	c = c.withDefaults()
	t, err := newTable(routes)
	if err != nil {
		return nil, err
	}
	for _, r := range t {
		if slices.Contains(c.Deny, r.Service) {
			return nil, errs.Invalid.New("route %s: service %q is never routed to; name another", r, r.Service)
		}
	}
	m, err := newMetrics(c.Metrics)
	if err != nil {
		return nil, err
	}
	p := &Proxy{config: c, routes: t, services: make(map[string]*service)}
	for _, r := range t {
		if p.services[r.Service] == nil {
			p.services[r.Service] = newService(r.Service, c, m)
		}
	}
	p.carrier = newCarrier(c, p.services)
	p.reverse = &httputil.ReverseProxy{
		Rewrite:        p.rewrite,
		Transport:      p.carrier,
		ModifyResponse: leaveFlushing,
		ErrorHandler:   p.fail,
		ErrorLog:       slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
		BufferPool:     new(buffers),
	}
	return p, nil
}

// Run follows the services in the registry until ctx ends, which is to be after
// the last request was answered: it then closes every connection to a backend,
// cutting what still runs, websockets among it. Later requests are answered
// with 503. An error means that the registry gave up a watch. Run runs once.
func (p *Proxy) Run(ctx context.Context) error {
	defer p.carrier.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, len(p.services))
	var watches sync.WaitGroup
	for _, name := range slices.Sorted(maps.Keys(p.services)) {
		watches.Go(func() {
			if err := p.services[name].follow(ctx, p.config.Registry, p.config.Log); err != nil {
				failed <- err
				cancel()
			}
		})
	}
	<-ctx.Done()
	watches.Wait()
	close(failed)
	return <-failed
}
