package app

import (
	"example.com/app/platform/network"
	"example.com/app/platform/registry"
	"example.com/app/platform/registry/consul"
)

// Memory is ground in this process alone: a registry and a network that other
// Memory values don't see, every host with a name and ports of its own.
func Memory() *MemoryFabric {
	return &MemoryFabric{registry: registry.NewMemory(), network: network.NewMemory()}
}

// A MemoryFabric is made by Memory.
type MemoryFabric struct {
	registry *registry.Memory
	network  *network.Memory
}

// Host returns a host's view of the registry and the network.
func (f *MemoryFabric) Host(name string) (registry.Registry, network.Network) {
	return f.registry.Host(name), f.network.Host(name)
}

// Crash takes a host away as if its power had been cut by its operating
// system: peers see their connections reset, and the registry lists it until
// its heartbeats are missed. What runs there goes on, unheard.
func (f *MemoryFabric) Crash(host string) {
	f.network.Crash(host)
	f.registry.Crash(host)
}

// Restore lets a new start happen on a host that crashed.
func (f *MemoryFabric) Restore(host string) {
	f.registry.Restore(host)
	f.network.Restore(host)
}

// Consul is ground for real fleets: TCP between hosts that find each other in
// Consul. The zero Config honours the CONSUL_* environment. All hosts of the
// fabric share one client and one network, that of this machine.
func Consul(cfg consul.Config) (Fabric, error) {
	tcp := new(network.TCP)
	if cfg.Network == nil {
		cfg.Network = tcp
	}
	reg, err := consul.New(cfg)
	if err != nil {
		return nil, err
	}
	return One(reg, tcp), nil
}

// Static is ground with no registry at all: TCP between peers that are listed
// by hand.
func Static(peers registry.Static) Fabric { return One(peers, new(network.TCP)) }

// One is a fabric that shows every host the same registry and network.
func One(reg registry.Registry, net network.Network) Fabric { return one{reg, net} }

type one struct {
	registry registry.Registry
	network  network.Network
}

func (f one) Host(string) (registry.Registry, network.Network) { return f.registry, f.network }

// Mix takes the registry of one fabric and the network of another.
func Mix(registryOf, networkOf Fabric) Fabric { return mix{registryOf, networkOf} }

type mix struct{ registryOf, networkOf Fabric }

func (f mix) Host(name string) (registry.Registry, network.Network) {
	reg, _ := f.registryOf.Host(name)
	_, net := f.networkOf.Host(name)
	return reg, net
}
