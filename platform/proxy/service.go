package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.com/app/platform/balance"
	"example.com/app/platform/registry"
)

// setAside is how long an instance that refused a connection is passed over
// while there are others.
const setAside = time.Second

// A service is the instances that a proxy sends requests to.
type service struct {
	name   string
	policy balance.Policy
	set    atomic.Pointer[[]registry.Instance] // as the registry told last; nil: it has not yet
	known  chan struct{}                       // closed with the first set

	refused atomic.Int32 // len(until), to be read without the lock
	mu      sync.Mutex
	until   map[string]time.Time // by id: instances that are set aside, and how long
}

func newService(name string, policy balance.Policy) *service {
	return &service{name: name, policy: policy, known: make(chan struct{}), until: make(map[string]time.Time)}
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
	if s.set.Swap(&set) == nil {
		close(s.known)
	}
}

// wait returns when the first set is known, or an error.
func (s *service) wait(ctx context.Context, atMost time.Duration) error {
	if s.set.Load() != nil {
		return nil
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

// pick chooses an instance that is not among the tried ids. Instances that are
// set aside come last.
func (s *service) pick(tried []string) (registry.Instance, bool) {
	set := *s.set.Load()
	if len(tried) > 0 || s.refused.Load() > 0 {
		set = s.fit(set, tried)
	}
	if len(set) == 0 {
		return registry.Instance{}, false
	}
	return s.policy.Pick(set), true
}

// fit leaves out the tried instances and, where others remain, those set aside.
func (s *service) fit(set []registry.Instance, tried []string) []registry.Instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var first, last []registry.Instance
	for _, in := range set {
		until, aside := s.until[in.ID]
		switch {
		case slices.Contains(tried, in.ID):
		case aside && now.Before(until):
			last = append(last, in)
		default:
			first = append(first, in)
		}
	}
	if len(first) > 0 {
		return first
	}
	return last
}

// refuse sets an instance aside, and forgets those that were long enough.
func (s *service) refuse(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for id, until := range s.until {
		if !now.Before(until) {
			delete(s.until, id)
		}
	}
	s.until[id] = now.Add(setAside)
	s.refused.Store(int32(len(s.until)))
}

// accept ends it for an instance that took a connection again.
func (s *service) accept(id string) {
	if s.refused.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.until, id)
	s.refused.Store(int32(len(s.until)))
}
