package consul_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/registry"
	"example.com/app/platform/registry/consul"
	"example.com/app/platform/registry/consul/consultest"
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
