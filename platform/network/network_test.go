package network_test

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/network"
	"example.com/app/platform/network/networktest"
)

func TestMemoryKeepsThePromises(t *testing.T) {
	networktest.Run(t, func(t *testing.T, body func(*testing.T, networktest.Hosts)) {
		synctest.Test(t, func(t *testing.T) { body(t, network.NewMemory()) })
	})
}

func TestMemoryWithATinyBufferKeepsThePromises(t *testing.T) {
	networktest.Run(t, func(t *testing.T, body func(*testing.T, networktest.Hosts)) {
		synctest.Test(t, func(t *testing.T) { body(t, &network.Memory{Buffer: 1000}) })
	})
}

func TestMemoryInRealTimeKeepsThePromises(t *testing.T) {
	networktest.Run(t, realTime(func() networktest.Hosts { return network.NewMemory() }))
}

func TestTCPKeepsThePromises(t *testing.T) {
	networktest.Run(t, realTime(func() networktest.Hosts { return new(network.TCP) }))
}

// realTime is a world outside a bubble. It waits until no goroutine is left.
func realTime(hosts func() networktest.Hosts) networktest.World {
	return func(t *testing.T, body func(*testing.T, networktest.Hosts)) {
		before := runtime.NumGoroutine()
		t.Run("body", func(t *testing.T) { body(t, hosts()) })                           // so that its cleanups have run
		require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, // Eventually has one
			10*time.Second, 5*time.Millisecond, "a goroutine was left behind")
	}
}
