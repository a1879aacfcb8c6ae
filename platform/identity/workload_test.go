package identity_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/identity"
	"example.com/app/platform/network"
)

func TestBothSidesOfACallKnowEachOther(t *testing.T) {
	nets(t, func(t *testing.T, n network.Network, addr string) {
		ca := identity.NewMemory(identity.MemoryConfig{})
		greeter, gateway := hold(t, ca, "greeter"), hold(t, ca, "gateway")
		l := listen(t, n, addr)
		seen := serve(t, l, greeter.Server())
		require.NoError(t, check(t, client(t, n, l.Addr().String(), gateway.Client("greeter"))))
		require.Equal(t, "spiffe://app.internal/ns/default/dc/dc1/svc/gateway", seen.last().String())
		require.Equal(t, "gateway", seen.last().Role())
	})
}
