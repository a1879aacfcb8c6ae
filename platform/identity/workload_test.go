package identity_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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

// TestACertificateIsTakenWhenTheClockIsSetRight has a host whose clock is two
// hours late start, and be told the time. No source says again what it has said.
func TestACertificateIsTakenWhenTheClockIsSetRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late atomic.Int64
		late.Store(int64(2 * time.Hour))
		w := identity.NewWorkload(identity.WorkloadConfig{
			Role: "greeter", Source: identity.NewMemory(identity.MemoryConfig{}),
			Now: func() time.Time { return time.Now().Add(-time.Duration(late.Load())) },
		})
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error)
		go func() { over <- w.Run(ctx) }()
		time.Sleep(time.Minute)
		require.ErrorContains(t, w.Ready(), "no certificate yet")
		late.Store(0)
		time.Sleep(11 * time.Second)
		require.NoError(t, w.Ready())
		stop()
		require.NoError(t, <-over)
	})
}
