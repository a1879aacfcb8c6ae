package fleet_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/app"
	"example.com/app/platform/command"
	"example.com/app/platform/network"
	"example.com/app/platform/registry"
	"example.com/app/sim/fleet"
	"example.com/app/sim/simtest"
)

func TestFleetStartsAndStopsInstances(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		f, ground := simtest.Fleet(t, app.Config{Drain: 5 * time.Second})
		require.Empty(t, f.Up())
		simtest.Start(t, f, "greeter-2", "greeter-10", "gateway-1")
		require.Equal(t, []string{"gateway-1", "greeter-10", "greeter-2"}, f.Up())
		require.Equal(t, []string{"greeter-10", "greeter-2"}, hostsOf(ground, "greeter"))
		begin := time.Now()
		require.NoError(t, f.Stop("greeter-2"))
		require.Equal(t, 5*time.Second, time.Since(begin), "it drains")
		require.Equal(t, []string{"gateway-1", "greeter-10"}, f.Up())
		require.Equal(t, []string{"greeter-10"}, hostsOf(ground, "greeter"))
		simtest.Start(t, f, "greeter-2")
		require.NoError(t, f.Close())
		require.Empty(t, f.Up())
		require.NoError(t, f.Close(), "nothing is left to close")
	})
}

// hostsOf is who the registry lists for a role, by host.
func hostsOf(ground app.Fabric, role string) []string {
	reg, _ := ground.Host("outside")
	for set := range reg.Watch(context.Background(), role) {
		var out []string
		for _, in := range set {
			out = append(out, in.Meta["host"])
		}
		return out
	}
	return nil
}

func TestFleetCrashTellsNobody(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		f, ground := simtest.Fleet(t, app.Config{Drain: time.Minute})
		simtest.Start(t, f, "greeter-1")
		begin := time.Now()
		require.NoError(t, f.Crash("greeter-1"))
		require.Zero(t, time.Since(begin), "nothing is drained")
		require.Equal(t, []string{"greeter-1"}, hostsOf(ground, "greeter"), "the registry has not heard of it")
		_, net := ground.Host("outside")
		_, err := net.Dial(t.Context(), "greeter-1:50051")
		require.Error(t, err)

		simtest.Start(t, f, "greeter-1")
		require.Equal(t, []string{"greeter-1", "greeter-1"}, hostsOf(ground, "greeter"), "two lives, two ids")
		time.Sleep(time.Minute)
		require.Equal(t, []string{"greeter-1"}, hostsOf(ground, "greeter"), "the first was silent for its TTL")
	})
}

func TestFleetNodesShareNoMetrics(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		f, _ := simtest.Fleet(t, app.Config{Metrics: prometheus.NewRegistry()})
		for range 3 { // the same host again: a shared registry would refuse its metrics
			simtest.Start(t, f, "greeter-1")
			require.NoError(t, f.Crash("greeter-1"))
		}
	})
}

func TestFleetErrorsNameTheHost(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		f, _ := simtest.Fleet(t, app.Config{})
		simtest.Start(t, f, "greeter-1")
		for name, c := range map[string]struct {
			err  error
			want string
		}{
			"twice":        {f.Start(t.Context(), "greeter-1"), "start greeter-1: it is up already"},
			"no role":      {f.Start(t.Context(), "nobody-1"), `start nobody-1: there is no role "nobody" to run`},
			"no number":    {f.Start(t.Context(), "greeter"), `"greeter" is no host: want role-number, as in greeter-2`},
			"number 0":     {f.Launch("greeter-0"), `"greeter-0" is no host: want role-number, as in greeter-2`},
			"no name":      {f.Launch("-1"), `"-1" is no host: want role-number, as in greeter-2`},
			"not a number": {f.Launch("greeter-one"), `"greeter-one" is no host: want role-number, as in greeter-2`},
			"stop":         {f.Stop("greeter-2"), "greeter-2 is not up"},
			"crash":        {f.Crash("greeter-2"), "greeter-2 is not up"},
		} {
			require.EqualError(t, c.err, c.want, name)
		}
		require.Equal(t, []string{"greeter-1"}, f.Up())
	})
}

func TestFleetRolesMayHaveDashes(t *testing.T) {
	role, number, err := fleet.Parse("mail-sender-12")
	require.NoError(t, err)
	require.Equal(t, "mail-sender", role)
	require.Equal(t, 12, number)
}

func TestFleetStartThatFailsCanBeTriedAgain(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		broken := true
		f, _ := simtest.Fleet(t, app.Config{Roles: []app.Role{{Name: "a", Rules: simtest.Workloads, New: func(*app.Env) (app.Service, error) {
			if broken {
				return nil, errors.New("no disk")
			}
			return simtest.Echo{}, nil
		}}}})
		require.EqualError(t, f.Start(t.Context(), "a-1"), "start a-1: start a-1: no disk")
		require.Empty(t, f.Up())
		broken = false
		simtest.Start(t, f, "a-1")
	})
}

func TestFleetStartThatIsGivenUpGoesOn(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		f, ground := simtest.Fleet(t, app.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := f.Start(ctx, "gateway-1") // nobody is there whom it could call
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "start gateway-1: ")
		require.Zero(t, f.InFlight("gateway-1"), "it may be asked while it starts")
		require.Equal(t, []string{"gateway-1"}, f.Up())
		simtest.Start(t, f, "greeter-1")
		synctest.Wait()
		require.Equal(t, []string{"gateway-1"}, hostsOf(ground, "gateway"))
	})
}

func TestFleetCountsCallsInFlight(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		work, err := command.ParseWork(simtest.System(), []string{"greeter=1s"})
		require.NoError(t, err)
		f, ground := simtest.Fleet(t, app.Config{Work: work})
		simtest.Start(t, f, "greeter-1", "gateway-1")
		u := simtest.User(t, ground)
		var asking sync.WaitGroup
		for range 3 {
			asking.Go(func() { _, _ = u.Get(context.Background(), "/a") })
		}
		synctest.Wait()
		require.Equal(t, 3, f.InFlight("greeter-1"))
		require.Equal(t, 3, f.InFlight("gateway-1"))
		require.Zero(t, f.InFlight("greeter-2"))
		asking.Wait()
		require.Zero(t, f.InFlight("greeter-1"))
	})
}

func TestFleetCloseStopsCallersFirst(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		ground := leaving{MemoryFabric: app.Memory(), left: new([]string), mu: new(sync.Mutex)}
		f := fleet.New(ground, app.Config{Roles: simtest.System(), Drain: 5 * time.Second})
		simtest.Start(t, f, "greeter-1", "greeter-2", "spare-1", "gateway-1", "gateway-2")
		begin := time.Now()
		require.NoError(t, f.Close())
		require.Equal(t, 15*time.Second, time.Since(begin), "the instances of a role stop together")
		require.Equal(t, "gateway gateway greeter greeter spare", strings.Join(*ground.left, " "))
	})
}

// leaving notes the roles of who leaves the registry.
type leaving struct {
	*app.MemoryFabric
	mu   *sync.Mutex
	left *[]string
}

func (l leaving) Host(name string) (registry.Registry, network.Network) {
	reg, net := l.MemoryFabric.Host(name)
	return leavingRegistry{reg, l}, net
}

type leavingRegistry struct {
	registry.Registry
	leaving
}

func (r leavingRegistry) Register(ctx context.Context, in registry.Registration) error {
	err := r.Registry.Register(ctx, in)
	r.mu.Lock()
	defer r.mu.Unlock()
	*r.left = append(*r.left, in.Role)
	return err
}

func TestFleetCloseTellsWhatWasCut(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		work, err := command.ParseWork(simtest.System(), []string{"greeter=1h"})
		require.NoError(t, err)
		f, ground := simtest.Fleet(t, app.Config{Work: work, Grace: time.Second})
		simtest.Start(t, f, "greeter-1", "gateway-1")
		u := simtest.User(t, ground)
		go func() { _, _ = u.Get(context.Background(), "/a") }()
		synctest.Wait()
		require.EqualError(t, f.Close(), "gateway-1: 1 calls were cut at the deadline")
	})
}
