package registry_test

import (
	"testing"
	"time"

	"example.com/app/platform/registry"
	"example.com/app/platform/registry/registrytest"
)

func memory(*testing.T) registry.Registry { return registry.NewMemory().Host("here") }

func TestMemoryInVirtualTime(t *testing.T) { registrytest.RunInBubble(t, memory) }

func TestMemoryInRealTime(t *testing.T) {
	registrytest.Run(t, func(*testing.T) registry.Registry {
		return (&registry.Memory{TTL: time.Second}).Host("here")
	})
}

func TestStatic(t *testing.T) {
	registrytest.RunList(t, func(_ *testing.T, list []registry.Instance) registry.Registry {
		return registry.Static(list)
	})
}
