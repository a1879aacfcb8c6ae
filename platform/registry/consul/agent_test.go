package consul_test

import (
	"context"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/registry"
	"example.com/app/platform/registry/consul"
	"example.com/app/platform/registry/consul/consultest"
)

// register registers until the test or what it returns ends it.
func register(t *testing.T, r *consul.Registry, in registry.Instance) (fates <-chan error, leave func() error) {
	t.Helper()
	told, done := make(chan error, 100), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		done <- r.Register(ctx, registry.Registration{Instance: in, Report: func(err error) { told <- err }})
		close(done)
	}()
	t.Cleanup(func() {
		cancel()
		for range done {
		}
	})
	return told, func() error { cancel(); return <-done }
}

// hear waits for the next report.
func hear(t *testing.T, fates <-chan error, within time.Duration) error {
	t.Helper()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case err := <-fates:
		return err
	case <-timer.C:
		require.FailNow(t, "no report")
		return nil
	}
}

// recovered waits for the good news; bad ones may come before.
func recovered(t *testing.T, fates <-chan error, within time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(within); hear(t, fates, time.Until(deadline)) != nil; {
	}
}

// listed waits until a fresh watch of a role yields exactly these ids.
func listed(t *testing.T, r *consul.Registry, role string, within time.Duration, want ...string) []registry.Instance {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	var last []string
	for set := range r.Watch(ctx, role) {
		last = nil
		for _, in := range set {
			last = append(last, in.ID)
		}
		if len(last) == len(want) && (len(want) == 0 || assert.ObjectsAreEqual(want, last)) {
			return set
		}
	}
	require.FailNow(t, "not listed in time", "want %v, got %v", want, last)
	return nil
}

func TestCO4RealAgentThatLostEverythingHearsItAgain(t *testing.T) {
	agent := consultest.Agent(t)
	r, err := consul.New(consul.Config{API: agent.API()}) // with the default TTL
	require.NoError(t, err)
	fates, _ := register(t, r, greeter("g1"))
	require.NoError(t, hear(t, fates, 10*time.Second))
	agent.Stop()
	require.True(t, errs.Unavailable.Is(hear(t, fates, 10*time.Second)))
	agent.Start()
	recovered(t, fates, 10*time.Second)
	listed(t, r, "greeter", 10*time.Second, "g1")
}

func TestR3RealInstanceThatWasRemovedComesBack(t *testing.T) {
	agent := consultest.Agent(t)
	r := open(t, agent)
	fates, _ := register(t, r, greeter("g1"))
	require.NoError(t, hear(t, fates, 10*time.Second))
	require.NoError(t, agent.Client().Agent().ServiceDeregister("g1"))
	require.Error(t, hear(t, fates, 10*time.Second))
	recovered(t, fates, 10*time.Second)
	listed(t, r, "greeter", time.Second*10, "g1")
}

func TestCO5RealConsulMayComeLater(t *testing.T) {
	agent := consultest.Agent(t)
	agent.Stop()
	r := open(t, agent)
	fates, _ := register(t, r, greeter("g1"))
	require.ErrorContains(t, hear(t, fates, 10*time.Second), "connection refused")
	agent.Start()
	recovered(t, fates, 12*time.Second)
	listed(t, r, "greeter", 12*time.Second, "g1")
}

func TestW3RealOutageKeepsTheList(t *testing.T) {
	agent := consultest.Agent(t)
	r := open(t, agent)
	fates, leave := register(t, r, greeter("g1"))
	require.NoError(t, hear(t, fates, 10*time.Second))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var sets [][]registry.Instance
	for set, err := range r.Watch(ctx, "greeter") {
		if err != nil {
			break
		}
		sets = append(sets, set)
		agent.Stop()
	}
	require.NoError(t, ctx.Err(), "the outage was not told")
	require.Len(t, sets, 1)
	require.Error(t, leave(), "nobody takes the instance off the list")
}

func TestCO15RealMaintenanceIsTheOperatorsToEnd(t *testing.T) {
	agent := consultest.Agent(t)
	r := open(t, agent)
	fates, _ := register(t, r, greeter("g1"))
	require.NoError(t, hear(t, fates, 10*time.Second))
	operator := agent.Client().Agent()
	require.NoError(t, operator.EnableServiceMaintenance("g1", "new disk"))
	listed(t, r, "greeter", 10*time.Second)

	changed := map[string]string{"edited": "by hand"} // makes the next read-back register again
	again := api.AgentServiceRegistration{ID: "g1", Name: "greeter", Address: "127.0.0.1", Port: 50051, Meta: changed}
	require.NoError(t, operator.ServiceRegister(&again))
	require.NoError(t, operator.CheckDeregister("service:g1")) // brings the read-back forward
	require.Error(t, hear(t, fates, 10*time.Second))
	require.ErrorContains(t, hear(t, fates, 10*time.Second), "in maintenance: new disk")
	listed(t, r, "greeter", 10*time.Second)

	require.NoError(t, operator.DisableServiceMaintenance("g1"))
	recovered(t, fates, 10*time.Second)
	listed(t, r, "greeter", 10*time.Second, "g1")
}

func TestR5RealOlderSelfAtTheSameAddressIsRemoved(t *testing.T) {
	agent := consultest.Agent(t)
	r := open(t, agent)
	// What a killed process leaves: registered, and nobody beats for it.
	ghost := greeter("g-1") // of the same origin, "g"
	ghost.Started = started().Add(-time.Hour)
	fatesOf, _ := register(t, r, ghost)
	require.NoError(t, hear(t, fatesOf, 10*time.Second))
	elsewhere := greeter("g-2")
	elsewhere.Addr = "127.0.0.1:50052"
	fatesOf, _ = register(t, r, elsewhere)
	require.NoError(t, hear(t, fatesOf, 10*time.Second))
	client := agent.Client()
	neighbour := api.AgentServiceRegistration{ID: "theirs", Name: "greeter", Address: "127.0.0.1", Port: 50051}
	require.NoError(t, client.Agent().ServiceRegister(&neighbour))

	fates, _ := register(t, r, greeter("g-3"))
	require.NoError(t, hear(t, fates, 10*time.Second))
	listed(t, r, "greeter", 10*time.Second, "g-2", "g-3", "theirs")
}

func TestR6RealServiceOfSomebodyElseIsFound(t *testing.T) {
	agent := consultest.Agent(t)
	r := open(t, agent)
	require.NoError(t, agent.Client().Agent().ServiceRegister(&api.AgentServiceRegistration{
		ID: "shop-1", Name: "shop", Address: "::1", Port: 8080, Tags: []string{"z", "a"}, Meta: map[string]string{"zone": "x"},
	}))
	require.NoError(t, agent.Client().Agent().ServiceRegister(&api.AgentServiceRegistration{ID: "shop-2", Name: "shop", Port: 8081}))
	set := listed(t, r, "shop", 10*time.Second, "shop-1", "shop-2")
	require.Equal(t, registry.Instance{
		ID: "shop-1", Role: "shop", Addr: "[::1]:8080", Weight: 1, Tags: []string{"a", "z"}, Meta: map[string]string{"zone": "x"},
	}, set[0])
	require.Equal(t, "127.0.0.1:8081", set[1].Addr, "the node's address")
}

func TestR7RealKilledProcessLeavesTheListWithItsTTL(t *testing.T) {
	agent := consultest.Agent(t)
	r := open(t, agent)
	require.NoError(t, agent.Client().Agent().ServiceRegister(&api.AgentServiceRegistration{
		ID: "g1", Name: "greeter", Address: "127.0.0.1", Port: 1,
		Check: &api.AgentServiceCheck{TTL: "1s", Status: "passing"},
	}))
	listed(t, r, "greeter", 10*time.Second, "g1")
	listed(t, r, "greeter", 10*time.Second)
}

func TestLeavingTakesTheServiceOffTheAgent(t *testing.T) {
	agent := consultest.Agent(t)
	r := open(t, agent)
	fates, leave := register(t, r, greeter("g1"))
	require.NoError(t, hear(t, fates, 10*time.Second))
	known, err := agent.Client().Agent().Services()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"role": "greeter", "instance": "g1", "started": "2026-11-22T10:00:00Z"}, known["g1"].Meta)
	require.NoError(t, leave())
	known, err = agent.Client().Agent().Services()
	require.NoError(t, err)
	require.Empty(t, known)
}
