package ground

import (
	"fmt"
	"net/http"

	"example.com/app/platform/registry/consul/consultest/fake"
	"example.com/app/sim/fault"
	"example.com/app/sim/wire"
)

// Inject has a fault of the network or of the registry happen, and returns what
// heals it, which may be called twice. Zone gives the zone of a host. A fault of
// another kind is an error.
func (g *Ground) Inject(f fault.Fault, zone func(host string) string) (heal func(), err error) {
	if link, ok := links(f); ok {
		return g.between(f, link), nil
	}
	switch f.Kind {
	case fault.Slow:
		link := wire.Link{Latency: f.Delay}
		return all(g.Spoil(wire.Rule{From: f.A, To: "*", Link: link}), g.Spoil(wire.Rule{From: "*", To: f.A, Link: link})), nil
	case fault.Pause:
		return g.Network.Pause(f.A), nil
	case fault.Limit:
		return g.Network.Limit(f.A, int(f.Amount)), nil
	case fault.Reset:
		g.Network.Reset(f.A, f.B)
		return func() {}, nil
	case fault.RegistryStale:
		return g.agent.Inject(fake.Frozen{Store: g.store.Copy()}), nil
	case fault.RegistryEmpty:
		return g.agent.Inject(fake.Keep(0)), nil
	case fault.RegistryDown:
		return g.agent.Inject(fake.Status(http.StatusInternalServerError)), nil
	case fault.RegistryIndex:
		g.store.Reset(1)
		return func() {}, nil
	case fault.RegistryLost:
		g.agent.Restart()
		return func() {}, nil
	case fault.SplitView:
		sees := func(host string) bool { return wire.Match(f.A, host, zone(host)) }
		return g.agent.Inject(split{fake.Frozen{Store: g.store.Copy()}, sees}), nil
	default:
		return nil, fmt.Errorf("inject %q: neither the network nor the registry can", f)
	}
}

// links is what a fault between two places does to each direction.
func links(f fault.Fault) (wire.Link, bool) {
	switch f.Kind {
	case fault.Latency:
		return wire.Link{Latency: f.Delay}, true
	case fault.Bandwidth:
		return wire.Link{Bandwidth: f.Amount}, true
	case fault.Loss:
		return wire.Link{Loss: f.Amount}, true
	case fault.Partition:
		return wire.Link{Cut: true}, true
	default:
		return wire.Link{}, false
	}
}

func (g *Ground) between(f fault.Fault, link wire.Link) (heal func()) {
	there := g.Spoil(wire.Rule{From: f.A, To: f.B, Link: link})
	if f.OneWay {
		return there
	}
	return all(there, g.Spoil(wire.Rule{From: f.B, To: f.A, Link: link}))
}

func all(heals ...func()) func() {
	return func() {
		for _, heal := range heals {
			heal()
		}
	}
}
