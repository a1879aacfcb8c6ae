package consul_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/network"
	"example.com/app/platform/registry"
	"example.com/app/platform/registry/consul"
	"example.com/app/platform/registry/consul/consultest"
	"example.com/app/platform/registry/consul/consultest/fake"
	"example.com/app/platform/registry/consul/consultest/state"
	"example.com/app/platform/registry/registrytest"
)

// open returns a registry over a real agent that beats three times a second.
func open(t *testing.T, agent *consultest.Server) *consul.Registry {
	t.Helper()
	r, err := consul.New(consul.Config{API: agent.API(), TTL: time.Second, Hold: time.Second})
	require.NoError(t, err)
	return r
}

func TestConsulKeepsThePromisesOfARegistry(t *testing.T) {
	agent := consultest.Agent(t)
	registrytest.Run(t, func(t *testing.T) registry.Registry { return open(t, agent) })
}

// pretended returns a registry over a fake agent in memory.
func pretended(t *testing.T, c consul.Config) registry.Registry {
	net := network.NewMemory()
	l, err := net.Host("consul").Listen(t.Context(), "consul:8500")
	require.NoError(t, err)
	server := &http.Server{Handler: fake.New("here", state.New("dc1"))}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	c.Network, c.API = net.Host("here"), &api.Config{Address: "consul:8500"}
	r, err := consul.New(c)
	require.NoError(t, err)
	return r
}

func TestFakeConsulKeepsThePromisesOfARegistry(t *testing.T) {
	t.Run("virtual", func(t *testing.T) {
		registrytest.RunInBubble(t, func(t *testing.T) registry.Registry { return pretended(t, consul.Config{}) })
	})
	t.Run("crowded", func(t *testing.T) {
		registrytest.RunInBubble(t, func(t *testing.T) registry.Registry { return pretended(t, consul.Config{Waiting: 1}) })
	})
	t.Run("selected", func(t *testing.T) {
		registrytest.RunInBubble(t, func(t *testing.T) registry.Registry {
			return registry.Select(pretended(t, consul.Config{Panic: true}), registry.Selector{})
		})
	})
}
