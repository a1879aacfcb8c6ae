package consul_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/registry"
	"example.com/app/platform/registry/consul"
	"example.com/app/platform/registry/consul/consultest/fake"
	"example.com/app/platform/registry/consul/consultest/state"
)

// Faults are all that can happen to an agent.
func (w *world) faults() []fake.Fault {
	return []fake.Fault{
		fake.Keep(0), fake.Index(0), fake.Index(3), fake.Status(500), fake.Status(503), fake.Status(429), fake.Status(403),
		fake.Garbage{}, fake.Torn{}, fake.Slow(time.Second), fake.Slow(time.Minute), fake.HalfOpen{}, fake.Cut{},
		fake.NoLeader{}, fake.Lag(time.Minute), fake.Frozen{Store: w.store.Copy()},
	}
}

func TestCO1AgentThatHangsIsKilledAndComesBackEmptyCostsNobody(t *testing.T) {
	play(t, func(w *world) {
		r := w.open(consul.Config{})
		s := w.settled(r, nil)
		v := w.watchRole(r, "greeter")
		heal := w.agent.Inject(fake.HalfOpen{})
		w.after(time.Minute)
		w.stop()
		w.after(time.Minute)
		w.store = state.New("dc1")
		w.agent = fake.New("here", w.store)
		w.tape.Handler = w.agent
		heal()
		w.start()
		w.after(time.Minute)
		v.yielded(ids{"g-0-host-1"})
		require.Equal(t, "fresh", v.state().State)
		require.Equal(t, api.HealthPassing, s.status())
	})
}

func TestCO2NoFaultTakesTheLastInstanceAway(t *testing.T) {
	play(t, func(w *world) {
		r := w.open(consul.Config{Hold: time.Minute}) // longer than the faults last
		s := w.settled(r, nil)
		v := w.watchRole(r, "greeter")
		for _, f := range w.faults() {
			heal := w.agent.Inject(f)
			w.after(30 * time.Second)
			v.yielded(ids{"g-0-host-1"})
			heal()
			w.after(12 * time.Second)
			require.Equal(t, api.HealthPassing, s.status(), f)
			require.Equal(t, "fresh", v.state().State, f)
			w.after(time.Minute)
			require.NoError(t, s.told()[len(s.told())-1], f)
			v.yielded(ids{"g-0-host-1"})
		}
	})
}

func TestCO3NoFaultMakesAHotLoop(t *testing.T) {
	play(t, func(w *world) {
		w.add("a")
		w.watch(w.open(consul.Config{}))
		for _, f := range w.faults() {
			for _, change := range []bool{false, true} { // with and without a lot going on
				heal := w.agent.Inject(f)
				w.after(10 * time.Second)
				w.tape.forget()
				for i := range 60 {
					if change {
						w.add(fmt.Sprint("b", i%2))
					}
					w.after(time.Second)
				}
				require.LessOrEqual(t, len(w.tape.heard("health/")), 60*4+3, f)
				heal()
				w.after(20 * time.Second)
			}
		}
	})
}

func TestCO4AgentThatForgetsEverythingHearsItAgain(t *testing.T) {
	play(t, func(w *world) {
		r := w.open(consul.Config{})
		var all []*stay
		want := ids{}
		for i := range 20 {
			in := greeter(fmt.Sprintf("g-%02d-host-1", i))
			in.Addr = fmt.Sprintf("127.0.0.1:%d", 1000+i)
			all = append(all, w.register(r, registry.Registration{Instance: in}))
			want = append(want, in.ID)
		}
		v := w.watchRole(r, "greeter")
		w.after(time.Minute)
		w.agent.Restart()
		require.Empty(t, w.catalogue("greeter"))
		w.after(5500 * time.Millisecond) // R3: a beat and its jitter
		require.Equal(t, want, w.catalogue("greeter"))
		for _, s := range all {
			require.Equal(t, api.HealthPassing, s.status())
		}
		w.after(10 * time.Second)
		require.Equal(t, want, v.last())
		for _, set := range v.sets {
			require.NotEmpty(t, set)
		}
	})
}

func TestCO6InstanceThatStartsWhileConsulIsDeadAppearsAfterwards(t *testing.T) {
	play(t, func(w *world) {
		r := w.open(consul.Config{})
		w.settled(r, nil)
		v := w.watchRole(r, "greeter")
		w.stop()
		w.after(10 * time.Second)
		late := greeter("g-1-host-2")
		late.Addr = "127.0.0.1:50052"
		w.register(r, registry.Registration{Instance: late})
		w.after(time.Minute)
		w.start()
		w.after(10 * time.Second)
		require.Equal(t, ids{"g-0-host-1", "g-1-host-2"}, v.last())
	})
}

func TestCO5EverythingMayStartWithoutConsul(t *testing.T) {
	play(t, func(w *world) {
		heal := w.agent.Inject(fake.NoLeader{}) // there is an agent, and no servers
		r := w.open(consul.Config{})
		s := w.register(r, registry.Registration{Instance: greeter("g-0-host-1")})
		v := w.watchRole(r, "greeter")
		w.after(time.Minute)
		require.Error(t, s.told()[0])
		heal()
		w.after(12 * time.Second)
		require.NoError(t, s.told()[len(s.told())-1])
		require.Equal(t, ids{"g-0-host-1"}, v.last())
	})
}

func TestCO7ManyRolesTakeTurns(t *testing.T) {
	play(t, func(w *world) {
		const roles = 300
		r := w.open(consul.Config{})
		var all []*viewer
		w.populate(roles, func(int) bool { return false })
		for i := range roles {
			all = append(all, w.watchRole(r, fmt.Sprint("role-", i)))
		}
		w.after(20 * time.Second)
		w.tape.forget()
		w.after(20 * time.Second)
		_, most := w.agent.Held()
		require.LessOrEqual(t, most, 200)
		require.GreaterOrEqual(t, most, 150, "the places are used")
		require.Less(t, len(w.tape.heard("health/")), 20*60, "a question a second for every five roles")
		few := func(i int) bool { return i%10 == 0 } // among them some that no question waits for just now
		w.populate(roles, few)
		w.after(7 * time.Second)
		for i, v := range all {
			want := []ids{{fmt.Sprint("a", i)}}
			if few(i) {
				want = append(want, ids{fmt.Sprint("a", i), fmt.Sprint("b", i)})
			}
			v.yielded(want...)
			require.Empty(t, v.failed())
		}
		for _, v := range all[100:] {
			v.cancel()
		}
		w.after(10 * time.Second)
		w.tape.forget()
		w.after(2 * time.Minute)
		require.Less(t, len(w.tape.heard("health/")), 100*3, "with places for all, each stays in its own")
	})
}

// populate gives each of so many roles an instance, and some a second one, at
// once. Only a role that has instances has an index of its own.
func (w *world) populate(roles int, two func(int) bool) {
	all := map[string]*api.AgentService{}
	for i := range roles {
		for _, name := range []string{"a", "b"} {
			if id := fmt.Sprint(name, i); name == "a" || two(i) {
				all[id] = &api.AgentService{ID: id, Service: fmt.Sprint("role-", i), Address: "h", Port: 1}
			}
		}
	}
	w.store.Sync("elsewhere", all, nil)
}

func TestCO7RolesThatAreWatchedFirstMakeRoom(t *testing.T) {
	play(t, func(w *world) {
		w.populate(3, func(int) bool { return false })
		r := w.open(consul.Config{Waiting: 2})
		settled := []*viewer{w.watchRole(r, "role-0"), w.watchRole(r, "role-1")}
		w.after(10 * time.Second)
		v := w.watchRole(r, "role-2")
		w.populate(3, func(i int) bool { return i == 2 })
		w.after(7 * time.Second)
		v.yielded(ids{"a2"}, ids{"a2", "b2"})
		for _, v := range append(settled, v) {
			require.Empty(t, v.failed(), "to make room is no failure")
		}
		v.cancel()
		w.after(10 * time.Second)
		w.tape.forget()
		w.after(30 * time.Second)
		require.Empty(t, w.tape.heard("health/"), "there is room for all again")
	})
}

func TestCO8TokenIsNowhereButInTheHeader(t *testing.T) {
	play(t, func(w *world) {
		var log bytes.Buffer
		metrics := prometheus.NewRegistry()
		r := w.open(consul.Config{
			API: &api.Config{Token: "53c23713"}, Log: slog.New(slog.NewTextHandler(&log, nil)), Metrics: metrics,
		})
		s := w.settled(r, nil)
		v := w.watch(r)
		for _, f := range w.faults() {
			heal := w.agent.Inject(f)
			w.after(time.Minute)
			heal()
		}
		for _, q := range w.tape.heard("") {
			require.Equal(t, "53c23713", q.token)
			require.NotContains(t, q.Encode()+q.path, "53c23713")
		}
		require.NotEmpty(t, v.failed())
		require.NotEmpty(t, log.String())
		families, err := metrics.Gather()
		require.NoError(t, err)
		require.NotContains(t, fmt.Sprint(v.failed(), s.told(), r.Status(), log.String(), families), "53c23713")
	})
}

func TestCO9RefusalIsToldOnceAndNotRetriedHot(t *testing.T) {
	play(t, func(w *world) {
		w.agent.Inject(fake.Status(http.StatusForbidden))
		r := w.open(consul.Config{})
		s := w.register(r, registry.Registration{Instance: greeter("g-0-host-1")})
		v := w.watch(r)
		w.after(10 * time.Minute)
		require.Len(t, v.failed(), 1)
		require.True(t, errs.Denied.Is(v.failed()[0]))
		require.Len(t, s.told(), 1)
		require.True(t, errs.Denied.Is(s.told()[0]))
		require.Empty(t, v.sets, "a refusal is no empty list")
		require.Less(t, len(w.tape.heard("health/")), 200, "bounded by 10 s at most, half of it on average")
		require.Less(t, len(w.tape.heard("agent/")), 400, "sweep and read-back")
		require.NoError(t, s.leave(), "what was never registered need not leave")
	})
}

func TestCO12RegisteringAgainIsNoCriticalMoment(t *testing.T) {
	play(t, func(w *world) {
		s := w.settled(w.open(consul.Config{}), nil)
		seen := map[string]bool{}
		over := make(chan struct{})
		done := make(chan struct{})
		go func() { // hears of every change, however short
			defer close(done)
			for {
				changed := w.store.Changed()
				seen[s.status()] = true
				select {
				case <-changed:
				case <-over:
					return
				}
			}
		}()
		for range 5 {
			w.here(`PUT agent/service/register {"ID":"g-0-host-1","Name":"greeter","Port":1}`) // differs
			w.after(time.Minute)
			w.agent.Restart()
			w.after(time.Minute)
		}
		close(over)
		<-done
		require.Equal(t, map[string]bool{api.HealthPassing: true, "absent": true}, seen)
	})
}

func TestCO13WatchersDoNotComeBackTogether(t *testing.T) {
	play(t, func(w *world) {
		w.add("a")
		for range 50 {
			w.watch(w.open(consul.Config{}))
		}
		w.stop()
		w.after(3 * time.Second)
		w.tape.forget()
		w.start()
		w.after(11 * time.Second)
		var back []time.Duration
		first := w.tape.heard("health/")[0].at
		for _, q := range w.tape.heard("health/") {
			if !q.Has("index") {
				back = append(back, q.at.Sub(first))
			}
		}
		require.Len(t, back, 50)
		slices.Sort(back)
		for i := range back[10:] {
			require.Greater(t, back[i+10]-back[i], 100*time.Millisecond, "no ten within 100 ms")
		}
	})
}

func TestCO15MaintenanceIsTheOperatorsToEnd(t *testing.T) {
	play(t, func(w *world) {
		r := w.open(consul.Config{Hold: -1})
		s := w.settled(r, nil)
		v := w.watchRole(r, "greeter")
		w.here("PUT agent/service/maintenance/g-0-host-1?enable=true&reason=new+disk")
		w.after(time.Second)
		v.yielded(ids{"g-0-host-1"}, ids{})
		w.here(`PUT agent/service/register {"ID":"g-0-host-1","Name":"greeter","Port":1}`) // the next read-back registers again
		w.after(time.Minute)
		require.Equal(t, 50051, s.entry().Service.Port)
		require.Len(t, s.told(), 2)
		require.ErrorContains(t, s.told()[1], "in maintenance: new disk")
		v.yielded(ids{"g-0-host-1"}, ids{})
		w.here("PUT agent/service/maintenance/g-0-host-1?enable=false")
		w.after(6 * time.Second)
		require.NoError(t, s.told()[2])
		v.yielded(ids{"g-0-host-1"}, ids{}, ids{"g-0-host-1"})
	})
}
