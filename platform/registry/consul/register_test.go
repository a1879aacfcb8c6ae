package consul_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/network"
	"example.com/app/platform/registry"
	"example.com/app/platform/registry/consul"
)

// An office is the part of an agent that registers, for one instance.
type office struct {
	mu      sync.Mutex
	known   *api.AgentServiceRegistration
	refuse  int // this code to everything; 0: work
	calls   []string
	beats   []time.Time
	outputs []string
}

// ServeHTTP implements http.Handler.
func (o *office) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	o.calls = append(o.calls, path)
	w.Header().Set("X-Consul-LastContact", "0")
	switch {
	case o.refuse != 0:
		w.WriteHeader(o.refuse)
	case path == "agent/service/register":
		o.known = &api.AgentServiceRegistration{}
		_ = json.NewDecoder(r.Body).Decode(o.known)
	case path == "agent/service/deregister/g1":
		o.known = nil
	case path == "agent/services", path == "agent/checks":
		_, _ = w.Write([]byte("{}"))
	case o.known == nil:
		w.WriteHeader(http.StatusNotFound)
	case path == "agent/service/g1":
		_ = json.NewEncoder(w).Encode(o.service())
	case path == "health/service/greeter":
		_ = json.NewEncoder(w).Encode([]api.ServiceEntry{{Service: o.service()}})
	case path == "agent/check/update/service:g1":
		var beat struct{ Status, Output string }
		_ = json.NewDecoder(r.Body).Decode(&beat)
		o.beats = append(o.beats, time.Now())
		o.outputs = append(o.outputs, beat.Status+": "+beat.Output)
	}
}

func (o *office) service() *api.AgentService {
	k := o.known
	return &api.AgentService{
		ID: k.ID, Service: k.Name, Address: k.Address, Port: k.Port, Tags: k.Tags, Meta: k.Meta, Weights: *k.Weights,
	}
}

func (o *office) set(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
}

// employ runs a test with an instance being registered at an office.
func employ(t *testing.T, c consul.Config, o *office, health func() error, test func(t *testing.T, told *[]error, leave func() error)) {
	synctest.Test(t, func(t *testing.T) {
		net := &network.Memory{}
		l, err := net.Host("consul").Listen(t.Context(), "consul:8500")
		require.NoError(t, err)
		server := &http.Server{Handler: o}
		go func() { _ = server.Serve(l) }()
		t.Cleanup(func() { _ = server.Close() })
		c.Network, c.API = net.Host("here"), &api.Config{Address: "consul:8500"}
		r, err := consul.New(c)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		var told []error
		done := make(chan error, 1)
		go func() {
			done <- r.Register(ctx, registry.Registration{
				Instance: greeter("g1"), Health: health, Report: func(err error) { told = append(told, err) },
			})
			close(done)
		}()
		leave := func() error { cancel(); return <-done }
		t.Cleanup(func() { _ = leave() })
		synctest.Wait()
		test(t, &told, leave)
	})
}

func TestR3BeatsThriceInATTLWithJitter(t *testing.T) {
	o := &office{}
	employ(t, consul.Config{}, o, nil, func(t *testing.T, _ *[]error, _ func() error) {
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.InDelta(t, 120, len(o.beats), 6)
		gaps := map[time.Duration]bool{}
		for i := range o.beats[1:] {
			gap := o.beats[i+1].Sub(o.beats[i])
			gaps[gap] = true
			require.InDelta(t, 5, gap.Seconds(), 0.5001)
		}
		require.Greater(t, len(gaps), 100, "no two alike")
	})
}

func TestR3ReadBackFindsWhatWasLostOrChanged(t *testing.T) {
	reg := prometheus.NewRegistry()
	o := &office{}
	employ(t, consul.Config{Metrics: reg}, o, nil, func(t *testing.T, _ *[]error, _ func() error) {
		o.set(func() { o.known.Port = 1 })
		time.Sleep(40 * time.Second)
		synctest.Wait()
		require.Equal(t, 50051, o.known.Port)
		families, err := reg.Gather()
		require.NoError(t, err)
		require.Equal(t, "registry_reregistrations_total", families[0].GetName())
		require.Equal(t, 1.0, families[0].Metric[0].Counter.GetValue())
	})
}

func TestR3LostRegistrationIsPassedInTheSameStep(t *testing.T) {
	o := &office{}
	employ(t, consul.Config{}, o, nil, func(t *testing.T, _ *[]error, _ func() error) {
		o.set(func() { o.known, o.calls = nil, nil })
		time.Sleep(6 * time.Second)
		synctest.Wait()
		require.NotNil(t, o.known)
		require.Equal(t, "passing", o.known.Check.Status, "CO12: never critical on the way")
		require.Contains(t, o.calls[len(o.calls)-2:], "agent/check/update/service:g1")
	})
}

func TestR7CheckCarriesTTLHealthAndGarbageCollection(t *testing.T) {
	o := &office{}
	sick := errs.Unavailable.New("no disk")
	employ(t, consul.Config{}, o, func() error { return sick }, func(t *testing.T, told *[]error, _ func() error) {
		require.Equal(t, "15s", o.known.Check.TTL)
		require.Equal(t, "10m0s", o.known.Check.DeregisterCriticalServiceAfter)
		require.Equal(t, "critical", o.known.Check.Status)
		require.Equal(t, []string{"critical: no disk"}, o.outputs)
		require.Equal(t, []error{sick}, *told)
	})
}

func TestR3DeregistrationIsFinal(t *testing.T) {
	o := &office{}
	employ(t, consul.Config{}, o, nil, func(t *testing.T, told *[]error, leave func() error) {
		require.NoError(t, leave())
		require.Nil(t, o.known)
		require.Equal(t, []error{nil}, *told)
		last := len(o.calls)
		time.Sleep(time.Hour)
		require.Len(t, o.calls, last)
	})
}

func TestCO9RefusedRegistrationIsToldOnceAndNotRetriedHot(t *testing.T) {
	o := &office{refuse: http.StatusForbidden}
	employ(t, consul.Config{}, o, nil, func(t *testing.T, told *[]error, leave func() error) {
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.Len(t, *told, 1)
		require.True(t, errs.Denied.Is((*told)[0]), "%v", *told)
		require.Less(t, len(o.calls), 10*60, "sweep and read-back, each 5 s on average")
		require.NoError(t, leave(), "what was never registered need not leave")
	})
}

func TestFailedFarewellIsReturnedInTime(t *testing.T) {
	o := &office{}
	employ(t, consul.Config{}, o, nil, func(t *testing.T, _ *[]error, leave func() error) {
		o.set(func() { o.refuse = http.StatusInternalServerError })
		begun := time.Now()
		require.True(t, errs.Unavailable.Is(leave()))
		require.LessOrEqual(t, time.Since(begun), 2*time.Second)
	})
}

func TestConfigOfTheEnvironmentIsHonoured(t *testing.T) {
	t.Setenv("CONSUL_HTTP_ADDR", "consul:8500")
	t.Setenv("CONSUL_HTTP_TOKEN", "secret")
	s := &stub{now: reply{index: 1, ids: []string{"a"}}, changed: make(chan struct{})}
	net := &network.Memory{}
	l, err := net.Host("consul").Listen(t.Context(), "consul:8500")
	require.NoError(t, err)
	server := &http.Server{Handler: s}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	r, err := consul.New(consul.Config{Network: net.Host("here")})
	require.NoError(t, err)
	for set, err := range r.Watch(t.Context(), "shop") {
		require.NoError(t, err)
		require.Len(t, set, 1)
		break
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(t, "secret", s.tokens[0])
}

func TestWrongConfigIsAnError(t *testing.T) {
	_, err := consul.New(consul.Config{API: &api.Config{TLSConfig: api.TLSConfig{CAFile: "/nowhere/ca.pem"}}})
	require.ErrorContains(t, err, "configure consul client")
	reg := prometheus.NewRegistry()
	_, err = consul.New(consul.Config{Metrics: reg})
	require.NoError(t, err)
	_, err = consul.New(consul.Config{Metrics: reg})
	require.ErrorContains(t, err, "register metrics", "a registerer serves one registry")
}
