package proxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"example.com/app/platform/balance"
	"example.com/app/platform/registry"
	"example.com/app/platform/resilience"
)

// A service is the instances that a proxy sends requests to.
type service struct {
	count    count
	name     string
	balancer *balance.Balancer
	budget   *resilience.Budget // of requests that are sent again
	hashed   string             // header whose value keeps requests together; empty: none
	known    chan struct{}      // closed with the first set
	heard    bool               // it is closed; for follow alone
	tls      *tls.Config        // of connections to it; nil: plain text
}

func newService(name string, c Config, m *metrics) *service {
	s := &service{
		name:     name,
		balancer: c.NewBalancer(name),
		budget:   resilience.NewBudget(resilience.BudgetConfig{}),
		count:    count{of: m, service: name},
		known:    make(chan struct{}),
	}
	if c.TLS != nil {
		s.tls = c.TLS(name)
	}
	if c.HashHeader != nil {
		s.hashed = http.CanonicalHeaderKey(c.HashHeader(name))
	}
	return s
}

// key is the balance.Call.Key of a request.
func (s *service) key(h http.Header) uint64 {
	if s.hashed == "" || len(h[s.hashed]) == 0 {
		return 0
	}
	return balance.Hash(h[s.hashed][0])
}

// follow takes over what the registry tells, until ctx ends. An error means
// that the watch ended before that.
func (s *service) follow(ctx context.Context, r registry.Registry, log *slog.Logger) error {
	var away bool // so that each change is logged once, not each attempt
	for set, err := range r.Watch(ctx, s.name) {
		switch {
		case err != nil && !away && ctx.Err() == nil:
			log.Warn("registry does not answer, keeping the instances known", "service", s.name, "error", err)
		case err == nil && away:
			log.Info("registry answers again", "service", s.name)
		}
		away = err != nil
		if err == nil {
			s.replace(set)
		}
	}
	if ctx.Err() == nil {
		return fmt.Errorf("watch %s: the registry ended it", s.name)
	}
	return nil
}

func (s *service) replace(set []registry.Instance) {
	ends := make([]balance.Endpoint, len(set))
	for i, in := range set {
		ends[i] = balance.Endpoint{Instance: in}
	}
	s.balancer.Update(ends, len(ends))
	if !s.heard {
		s.heard = true
		close(s.known)
	}
}

// wait returns when the first set is known, or an error.
func (s *service) wait(ctx context.Context, atMost time.Duration) error {
	select {
	case <-s.known:
		return nil
	default:
	}
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-s.known:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return errNoInstance
	}
}
