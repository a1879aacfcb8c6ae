package consultest_test

import (
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/registry/consul/consultest"
)

func TestAgentsRunSideBySideAndForgetWhenStopped(t *testing.T) {
	a, b := consultest.Agent(t), consultest.Agent(t)
	require.NotEqual(t, a.Addr(), b.Addr())
	require.NoError(t, a.Client().Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "web", Port: 80}))
	services, err := b.Client().Agent().Services()
	require.NoError(t, err)
	require.Empty(t, services)

	addr := a.Addr()
	a.Stop()
	a.Stop() // twice is fine
	_, err = a.Client().Agent().Services()
	require.ErrorContains(t, err, "connection refused")
	a.Start()
	require.Equal(t, addr, a.Addr())
	services, err = a.Client().Agent().Services()
	require.NoError(t, err)
	require.Empty(t, services)
}
