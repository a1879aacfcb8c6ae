package consul_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/registry"
	"example.com/app/platform/registry/consul"
	"example.com/app/platform/registry/consul/consultest/fake"
)

func started() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC) }

func greeter(id string) registry.Instance {
	return registry.Instance{ID: id, Role: "greeter", Addr: "127.0.0.1:50051", Started: started()}
}

// settled begins a registration of greeter g-0-host-1 and waits until it is
// listed.
func (w *world) settled(r *consul.Registry, health func() error) *stay {
	w.Helper()
	s := w.register(r, registry.Registration{Instance: greeter("g-0-host-1"), Health: health})
	require.Equal(w, []error{nil}, s.told())
	return s
}

func TestR3BeatsThriceInATTLWithJitter(t *testing.T) {
	play(t, func(w *world) {
		w.settled(w.open(consul.Config{}), nil)
		w.tape.forget()
		w.after(10 * time.Minute)
		beats := w.tape.heard("agent/check/update/service:g-0-host-1")
		require.InDelta(t, 120, len(beats), 6)
		gaps := map[time.Duration]bool{}
		for i := range beats[1:] {
			gap := beats[i+1].at.Sub(beats[i].at)
			gaps[gap] = true
			require.InDelta(t, 5, gap.Seconds(), 0.5001)
		}
		require.Greater(t, len(gaps), 100, "no two alike")
	})
}

func TestR3ReadBackFindsWhatWasChanged(t *testing.T) {
	play(t, func(w *world) {
		reg := prometheus.NewRegistry()
		s := w.settled(w.open(consul.Config{Metrics: reg}), nil)
		w.here(`PUT agent/service/register {"ID":"g-0-host-1","Name":"greeter","Port":1}`)
		require.Equal(t, 1, s.entry().Service.Port)
		w.after(40 * time.Second)
		require.Equal(t, 50051, s.entry().Service.Port)
		require.Equal(t, 1.0, counted(t, reg, "registry_reregistrations_total", "greeter"))
	})
}

func TestR3InstanceThatWasRemovedComesBackPassingInTheSameStep(t *testing.T) {
	play(t, func(w *world) {
		reg := prometheus.NewRegistry()
		s := w.settled(w.open(consul.Config{Metrics: reg}), nil)
		w.here("PUT agent/service/deregister/g-0-host-1")
		w.tape.forget()
		w.after(6 * time.Second)
		require.Equal(t, api.HealthPassing, s.status())
		require.Equal(t, 1.0, counted(t, reg, "registry_reregistrations_total", "greeter"))
		var writes ids
		for _, q := range w.tape.heard("agent/") {
			if q.method == "PUT" {
				writes = append(writes, strings.SplitN(q.path, "/", 4)[2])
			}
		}
		require.Equal(t, ids{"update", "register", "update"}, writes, "the TTL with the registration")
	})
}

func TestR3DeregistrationIsFinal(t *testing.T) {
	play(t, func(w *world) {
		s := w.settled(w.open(consul.Config{}), nil)
		require.NoError(t, s.leave())
		require.Equal(t, "absent", s.status())
		require.Equal(t, []error{nil}, s.told())
		w.tape.forget()
		w.after(time.Hour)
		require.Empty(t, w.tape.heard(""))
	})
}

func TestR3HeartbeatOnItsWayDoesNotOutliveTheDeregistration(t *testing.T) {
	play(t, func(w *world) {
		s := w.settled(w.open(consul.Config{}), nil)
		w.agent.Inject(fake.On{Path: "/v1/agent/check", Fault: fake.Slow(500 * time.Millisecond)})
		w.agent.Inject(fake.On{Path: "/v1/agent/service/register", Fault: fake.Slow(500 * time.Millisecond)})
		w.here("PUT agent/service/deregister/g-0-host-1")
		w.after(5500 * time.Millisecond) // within the beat or the registration after it
		require.NoError(t, s.leave())
		w.after(time.Minute)
		require.Equal(t, "absent", s.status())
	})
}

func TestR3FailedFarewellIsReturnedInTime(t *testing.T) {
	play(t, func(w *world) {
		for _, f := range []fake.Fault{fake.Status(500), fake.HalfOpen{}} {
			s := w.settled(w.open(consul.Config{}), nil)
			heal := w.agent.Inject(f)
			begun := time.Now()
			require.True(t, errs.Unavailable.Is(s.leave()), f)
			require.LessOrEqual(t, time.Since(begun), 4*time.Second, f)
			heal()
			w.here("PUT agent/service/deregister/g-0-host-1")
		}
	})
}

func TestR4RegistryThatIsDownAtStartIsNotFatal(t *testing.T) {
	play(t, func(w *world) {
		w.stop()
		r := w.open(consul.Config{})
		s := w.register(r, registry.Registration{Instance: greeter("g-0-host-1")})
		v := w.watchRole(r, "greeter")
		w.after(time.Hour)
		require.Len(t, s.told(), 1, "said once")
		require.ErrorContains(t, s.told()[0], "connection refused")
		require.Len(t, v.failed(), 1)
		w.start()
		w.after(12 * time.Second)
		require.Len(t, s.told(), 2)
		require.NoError(t, s.told()[1])
		require.Equal(t, ids{"g-0-host-1"}, v.last())
	})
}

func TestR5OlderSelfAtTheSameAddressIsRemoved(t *testing.T) {
	play(t, func(w *world) {
		older := func(id, addr string, age time.Duration) {
			in := greeter(id)
			in.Addr, in.Started = addr, started().Add(-age)
			w.settle(in)
		}
		older("g-0-host-old", "127.0.0.1:50051", time.Hour)
		older("g-0-host-elsewhere", "127.0.0.1:50052", time.Hour)
		older("g-0-host-younger", "127.0.0.1:50051", -time.Hour)
		older("g-0-container-old", "127.0.0.1:50051", time.Hour) // lives in another network namespace
		w.here(`PUT agent/service/register {"ID":"g-0-host-theirs","Name":"greeter","Address":"127.0.0.1","Port":50051}`)
		w.here(`PUT agent/service/register {"ID":"g-0-host-role","Name":"other","Address":"127.0.0.1","Port":50051}`)
		w.settled(w.open(consul.Config{}), nil)
		require.Equal(t, ids{"g-0-container-old", "g-0-host-1", "g-0-host-elsewhere", "g-0-host-theirs", "g-0-host-younger"}, w.catalogue("greeter"))
		require.Equal(t, ids{"g-0-host-role"}, w.catalogue("other"))
	})
}

func TestR5LeavingTakesNobodyElseOff(t *testing.T) {
	play(t, func(w *world) {
		r := w.open(consul.Config{})
		other := greeter("g-1-host-2")
		s := w.settled(r, nil)
		w.register(r, registry.Registration{Instance: other})
		require.NoError(t, s.leave())
		require.Equal(t, ids{"g-1-host-2"}, w.catalogue("greeter"))
	})
}

func TestR5TwoThatLiveAtOneAddressBothStayListed(t *testing.T) {
	play(t, func(w *world) {
		r := w.open(consul.Config{})
		w.settled(r, nil)
		for i, id := range []string{"g-0-box-2", "g-0-host-3"} { // another host's, and one that is taken for an earlier self
			in := greeter(id)
			in.Started = started().Add(time.Duration(i+1) * time.Hour)
			w.register(r, registry.Registration{Instance: in})
		}
		w.after(40 * time.Second) // the older self has read back
		require.Equal(t, ids{"g-0-box-2", "g-0-host-1", "g-0-host-3"}, w.catalogue("greeter"))
		v := w.watchRole(r, "greeter")
		w.after(time.Hour)
		v.yielded(ids{"g-0-box-2", "g-0-host-1", "g-0-host-3"})
	})
}

func TestR6WhatIsRegisteredIsWhatIsFound(t *testing.T) {
	play(t, func(w *world) {
		r := w.open(consul.Config{})
		in := registry.Instance{
			ID: "g-0-host-1", Role: "greeter", Addr: "[::1]:50051", Version: "v1", Zone: "north", Weight: 3,
			Started: started(), Tags: []string{"a", "grpc"}, Meta: map[string]string{"protocol": "grpc", "cluster": "blue"},
		}
		s := w.register(r, registry.Registration{Instance: in})
		for set, err := range r.Watch(w.Context(), "greeter") {
			require.NoError(t, err)
			require.Equal(t, []registry.Instance{in}, set)
			break
		}
		require.Equal(t, map[string]string{
			"role": "greeter", "instance": "g-0-host-1", "version": "v1", "zone": "north", "weight": "3",
			"started": "2026-11-22T10:00:00Z", "protocol": "grpc", "cluster": "blue",
		}, s.entry().Service.Meta, "as a human finds it")
		require.Equal(t, 3, s.entry().Service.Weights.Passing)
	})
}

func TestR6ServiceOfSomebodyElseIsFound(t *testing.T) {
	play(t, func(w *world) {
		w.tell(`PUT agent/service/register {"ID":"s1","Name":"shop","Address":"::1","Port":8080,"Tags":["z","a"],"Meta":{"zone":"x"}}`)
		w.tell(`PUT agent/service/register {"ID":"s2","Name":"shop","Port":8081}`)
		w.tell(`PUT agent/service/register {"ID":"s3","Name":"shop"}`)
		w.here(`PUT agent/service/register {"ID":"s2","Name":"shop","Port":8082}`)
		for set, err := range w.open(consul.Config{}).Watch(w.Context(), "shop") {
			require.NoError(t, err)
			require.Equal(t, []registry.Instance{
				{ID: "elsewhere/s2", Role: "shop", Addr: "127.0.0.1:8081", Weight: 1},
				{ID: "here/s2", Role: "shop", Addr: "127.0.0.1:8082", Weight: 1},
				{ID: "s1", Role: "shop", Addr: "[::1]:8080", Weight: 1, Tags: ids{"a", "z"}, Meta: map[string]string{"zone": "x"}},
			}, set, "an id is unique on its node; no port, nothing to dial")
			break
		}
	})
}

func TestR7CheckFollowsTheProcessesOwnReadiness(t *testing.T) {
	play(t, func(w *world) {
		var sick atomic.Bool
		s := w.settled(w.open(consul.Config{}), func() error {
			if sick.Load() {
				return errs.Unavailable.New("no disk")
			}
			return nil
		})
		sick.Store(true)
		w.after(6 * time.Second)
		require.Equal(t, api.HealthCritical, s.status())
		require.Equal(t, "no disk", s.entry().Checks[1].Output, "the reason is there to read")
		sick.Store(false)
		w.after(6 * time.Second)
		require.Equal(t, api.HealthPassing, s.status())
		require.Len(t, s.told(), 3)
	})
}

func TestR7InstanceThatBeginsIllIsNeverPassing(t *testing.T) {
	play(t, func(w *world) {
		heal := w.agent.Inject(fake.On{Path: "/v1/agent/check/update", Fault: fake.Status(500)}) // it is the registration that says so
		sick := errs.Unavailable.New("no disk")
		s := w.register(w.open(consul.Config{}), registry.Registration{
			Instance: greeter("g-0-host-1"), Health: func() error { return sick },
		})
		require.Equal(t, api.HealthCritical, s.status())
		heal()
		w.after(5 * time.Second)
		require.Equal(t, sick, s.told()[len(s.told())-1])
	})
}

func TestR7KilledProcessIsOutWithItsTTLAndGoneAfterTenMinutes(t *testing.T) {
	play(t, func(w *world) {
		s := w.settled(w.open(consul.Config{}), nil)
		v := w.watchRole(w.open(consul.Config{Hold: -1}), "greeter")
		w.stop() // as good as killed: nobody hears it
		w.after(14 * time.Second)
		require.Equal(t, api.HealthPassing, s.status())
		w.after(2 * time.Second)
		require.Equal(t, api.HealthCritical, s.status())
		w.after(9 * time.Minute)
		require.NotNil(t, s.entry(), "it is out of the list, and can still be seen")
		w.after(2 * time.Minute)
		require.Nil(t, s.entry())
		v.yielded(ids{"g-0-host-1"})
	})
}

func TestR8WritesGoThroughTheAgent(t *testing.T) {
	play(t, func(w *world) {
		s := w.settled(w.open(consul.Config{}), nil)
		w.agent.Restart()
		w.after(time.Minute)
		require.NoError(t, s.leave())
		for _, q := range w.tape.heard("") {
			require.True(t, q.method == "GET" || strings.HasPrefix(q.path, "agent/"), "%v", q)
		}
	})
}

// here puts a request to the agent of the code under test, behind its back.
func (w *world) here(call string) {
	w.Helper()
	others := w.others
	w.others = w.agent
	defer func() { w.others = others }()
	w.tell(call)
}

// settle leaves what a killed process leaves: an instance that is registered
// as ours are, and nobody beats for it.
func (w *world) settle(in registry.Instance) {
	w.Helper()
	host, port, _ := strings.Cut(in.Addr, ":")
	w.here(fmt.Sprintf(`PUT agent/service/register {"ID":%q,"Name":%q,"Address":%q,"Port":%s,"Meta":{"instance":%q,"started":%q}}`,
		in.ID, in.Role, host, port, in.ID, in.Started.Format(time.RFC3339)))
}

// catalogue returns the ids of a service that Consul lists.
func (w *world) catalogue(service string) ids {
	all, _ := w.store.Health(service)
	list := ids{}
	for _, e := range all {
		list = append(list, e.Service.ID)
	}
	return list
}
