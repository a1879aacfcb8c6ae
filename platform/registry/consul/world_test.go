package consul_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/network"
	"example.com/app/platform/registry"
	"example.com/app/platform/registry/consul"
	"example.com/app/platform/registry/consul/consultest/fake"
	"example.com/app/platform/registry/consul/consultest/state"
)

type ids = []string

// A world is a Consul in memory and virtual time: an agent that the code under
// test talks to and that a test may spoil, and another one, always well, on
// which a test puts the instances of others.
type world struct {
	*testing.T
	net    *network.Memory
	store  *state.Store
	agent  *fake.Agent
	tape   *tape // of what agent is asked
	others *fake.Agent
	stop   func() // of the agent's server
}

// play runs a test in a world of its own.
func play(t *testing.T, test func(*world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, net: network.NewMemory(), store: state.New("dc1")}
		w.agent, w.others = fake.New("here", w.store), fake.New("elsewhere", w.store)
		w.tape = &tape{Handler: w.agent}
		w.start()
		test(w)
	})
}

// start lets the agent listen.
func (w *world) start() {
	l, err := w.net.Host("consul").Listen(w.Context(), "consul:8500")
	require.NoError(w, err)
	server := &http.Server{Handler: w.tape}
	go func() { _ = server.Serve(l) }()
	w.stop = func() { _ = server.Close() }
	w.Cleanup(w.stop)
}

// open returns a registry over the agent.
func (w *world) open(c consul.Config) *consul.Registry {
	c.Network = w.net.Host("here")
	if c.API == nil {
		c.API = &api.Config{}
	}
	c.API.Address = "consul:8500"
	r, err := consul.New(c)
	require.NoError(w, err)
	return r
}

// after lets virtual time pass and everything settle.
func (w *world) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// tell puts a request to the agent of the others, as in "PUT agent/…", and
// wants it done.
func (w *world) tell(call string) {
	w.Helper()
	method, rest, _ := strings.Cut(call, " ")
	path, body, _ := strings.Cut(rest, " ")
	resp := httptest.NewRecorder()
	w.others.ServeHTTP(resp, httptest.NewRequestWithContext(w.Context(), method, "/v1/"+path, strings.NewReader(body)))
	require.Equal(w, http.StatusOK, resp.Code, "%s: %s", call, resp.Body)
}

// add registers instances of the role shop at the agent of the others.
func (w *world) add(ids ...string) {
	w.Helper()
	for _, id := range ids {
		w.tell(`PUT agent/service/register {"ID":"` + id + `","Name":"shop","Address":"10.0.0.1","Port":80,` +
			`"Check":{"CheckID":"` + id + `","TTL":"9999h","Status":"passing"}}`)
	}
	synctest.Wait()
}

// remove takes them off.
func (w *world) remove(ids ...string) {
	w.Helper()
	for _, id := range ids {
		w.tell("PUT agent/service/deregister/" + id)
	}
	synctest.Wait()
}

// A viewer notes what a Watch yields.
type viewer struct {
	*world
	registry *consul.Registry
	cancel   func()

	mu   sync.Mutex
	sets []ids
	at   []time.Time // of the sets
	errs []error
}

// watch begins to watch the role shop.
func (w *world) watch(r *consul.Registry) *viewer { return w.watchRole(r, "shop") }

func (w *world) watchRole(r *consul.Registry, role string) *viewer {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	v := &viewer{world: w, registry: r, cancel: func() { cancel(); <-done }}
	go func() {
		defer close(done)
		for set, err := range r.Watch(ctx, role) {
			v.note(set, err)
		}
	}()
	w.Cleanup(v.cancel)
	synctest.Wait()
	return v
}

func (v *viewer) note(set []registry.Instance, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		v.errs = append(v.errs, err)
		return
	}
	all := ids{}
	for _, in := range set {
		all = append(all, in.ID)
	}
	v.sets, v.at = append(v.sets, all), append(v.at, time.Now())
}

// yielded wants exactly these sets to have been yielded so far.
func (v *viewer) yielded(want ...ids) {
	v.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	require.Equal(v, want, v.sets)
}

// last returns the newest set.
func (v *viewer) last() ids {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.sets) == 0 {
		return nil
	}
	return v.sets[len(v.sets)-1]
}

// failed returns the errors that were yielded so far.
func (v *viewer) failed() []error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.errs
}

// state is what the registry says about the role that is watched.
func (v *viewer) state() registry.Status {
	v.Helper()
	all := v.registry.Status()
	require.Len(v, all, 1)
	return all[0]
}

// A question is a request as it was heard.
type question struct {
	url.Values
	method, path, token string
	at                  time.Time
}

// A tape notes every request before it is answered.
type tape struct {
	http.Handler
	mu  sync.Mutex
	all []question
}

// ServeHTTP implements http.Handler.
func (t *tape) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	t.all = append(t.all, question{
		r.URL.Query(), r.Method, strings.TrimPrefix(r.URL.Path, "/v1/"), r.Header.Get("X-Consul-Token"), time.Now(),
	})
	t.mu.Unlock()
	t.Handler.ServeHTTP(w, r)
}

// heard returns the requests so far whose path begins with path.
func (t *tape) heard(path string) []question {
	t.mu.Lock()
	defer t.mu.Unlock()
	var some []question
	for _, q := range t.all {
		if strings.HasPrefix(q.path, path) {
			some = append(some, q)
		}
	}
	return some
}

// forget begins a new tape.
func (t *tape) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = nil
}

// A stay is a call of Register under way.
type stay struct {
	*world
	id    string
	leave func() error

	mu    sync.Mutex
	fates []error
}

// register begins a registration.
func (w *world) register(r *consul.Registry, reg registry.Registration) *stay {
	ctx, cancel := context.WithCancel(context.Background())
	s := &stay{world: w, id: reg.ID}
	reg.Report = func(err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.fates = append(s.fates, err)
	}
	done := make(chan error, 1)
	go func() {
		done <- r.Register(ctx, reg)
		close(done)
	}()
	s.leave = func() error { cancel(); return <-done }
	w.Cleanup(func() { _ = s.leave() })
	synctest.Wait()
	return s
}

// told returns the reports so far.
func (s *stay) told() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fates
}

// entry is what the catalogue has of the instance; nil: nothing.
func (s *stay) entry() *api.ServiceEntry {
	all, _ := s.store.Health("greeter")
	for _, e := range all {
		if e.Service.ID == s.id {
			return e
		}
	}
	return nil
}

// status is the state of the instance's own check in the catalogue.
func (s *stay) status() string {
	e := s.entry()
	if e == nil {
		return "absent"
	}
	for _, c := range e.Checks {
		if c.CheckID == "service:"+s.id {
			return c.Status
		}
	}
	return "unchecked"
}

// counted is the value of a counter for a role.
func counted(t *testing.T, reg *prometheus.Registry, name, role string) float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == role {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}
