package consul_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/network"
	"example.com/app/platform/registry"
	"example.com/app/platform/registry/consul"
)

// A stub plays the agent: one answer at a time, as the test says. The last one
// is given again and again, and is held when the question may wait.
type stub struct {
	mu        sync.Mutex
	now       reply
	changed   chan struct{}
	questions []url.Values
	tokens    []string
	times     []time.Time
}

// A reply is what a stub says to every question until it is told another.
type reply struct {
	index  uint64
	code   int // 0 means 200
	ids    []string
	header http.Header
	body   string // in place of ids
	hot    bool   // never hold a question
}

func (s *stub) say(r reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = r
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *stub) heard() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.questions)
}

func (s *stub) note(r *http.Request) (reply, chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.questions = append(s.questions, r.URL.Query())
	s.tokens = append(s.tokens, r.Header.Get("X-Consul-Token"))
	s.times = append(s.times, time.Now())
	return s.now, s.changed
}

// ServeHTTP implements http.Handler.
func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now, changed := s.note(r)
	asked, _ := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64)
	wait, _ := time.ParseDuration(r.URL.Query().Get("wait"))
	if asked >= now.index && asked > 0 && !now.hot && now.code == 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-changed:
		case <-timer.C:
		case <-r.Context().Done():
		}
		s.mu.Lock()
		now = s.now
		s.mu.Unlock()
	}
	now.write(w)
}

func (a reply) write(w http.ResponseWriter) {
	w.Header().Set("X-Consul-Index", strconv.FormatUint(a.index, 10))
	w.Header().Set("X-Consul-LastContact", "0")
	for k, v := range a.header {
		w.Header()[k] = v
	}
	if a.code != 0 {
		w.WriteHeader(a.code)
	}
	if a.body != "" {
		_, _ = w.Write([]byte(a.body))
		return
	}
	entries := []api.ServiceEntry{}
	for _, id := range a.ids {
		entries = append(entries, api.ServiceEntry{
			Node:    &api.Node{Node: "n1", Address: "10.0.0.1"},
			Service: &api.AgentService{ID: id, Service: "shop", Port: 80},
		})
	}
	_ = json.NewEncoder(w).Encode(entries)
}

// A scene is a registry that talks to a stub over memory in virtual time.
type scene struct {
	*testing.T
	*consul.Registry
	stub   *stub
	cancel context.CancelFunc

	mu   sync.Mutex
	sets [][]string
	errs []error
}

// play runs a test with a watch of the role "shop" under way.
func play(t *testing.T, c consul.Config, first reply, test func(*scene)) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{T: t, stub: &stub{now: first, changed: make(chan struct{})}}
		net := &network.Memory{}
		l, err := net.Host("consul").Listen(t.Context(), "consul:8500")
		require.NoError(t, err)
		server := &http.Server{Handler: s.stub}
		go func() { _ = server.Serve(l) }()
		t.Cleanup(func() { _ = server.Close() })
		c.Network = net.Host("here")
		c.API = &api.Config{Address: "consul:8500", Token: "secret"}
		s.Registry, err = consul.New(c)
		require.NoError(t, err)
		s.watch()
		test(s)
	})
}

func (s *scene) watch() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for set, err := range s.Watch(ctx, "shop") {
			s.note(set, err)
		}
	}()
	s.cancel = func() { cancel(); <-done }
	s.Cleanup(s.cancel)
	synctest.Wait()
}

func (s *scene) note(set []registry.Instance, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.errs = append(s.errs, err)
		return
	}
	ids := []string{}
	for _, in := range set {
		ids = append(ids, in.ID)
	}
	s.sets = append(s.sets, ids)
}

// after lets virtual time pass and everything settle.
func (s *scene) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// yielded wants exactly these sets to have been yielded so far.
func (s *scene) yielded(want ...[]string) {
	s.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(s, want, s.sets)
}

// failed returns the errors that were yielded so far.
func (s *scene) failed() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.errs
}
