package scenarios

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"example.com/app/platform/app"
	"example.com/app/platform/network"
	"example.com/app/platform/registry"
	"example.com/app/sim"
)

// Herd has everybody go at once and come back at once, first with a registry
// and then without.
func Herd() sim.Scenario {
	return sim.Scenario{
		Name: "herd", Doc: "all instances are gone at once, and all come back: they do not trample each other",
		Fleet: map[string]int{"gateway": 4, "greeter": 8, "phrasebook": 2, "issuer": 1}, Calls: hello(),
		Duration: 90 * time.Second, Heal: forgotten,
		Faults: sim.Script("5s crash greeter for 10s", "20s partition * <-> registry for 60s", "22s crash * for 2s"),
		Check: func(w *sim.World) {
			const pairs = 4 * 8
			dials := countDials(w, "greeter")
			w.Finally("nobody connects more often than eight times a second", func() error {
				return dials.most(0, w.Scenario.Duration, time.Second, 8*pairs)
			})
			w.Finally("who finds nobody tries less and less often", func() error {
				return dials.most(8*time.Second, 15*time.Second, time.Second, pairs)
			})
			w.Finally("no two gateways keep in step", func() error {
				return dials.most(8*time.Second, 15*time.Second, 10*time.Millisecond, pairs/4)
			})
			w.Sometimes("gateways connect again", func() bool { return len(dials.at) > pairs })
			allCall(w)
		},
	}
}

// A count is of the attempts to connect to a role, since the load began.
type count struct {
	role  string
	world *sim.World

	mu sync.Mutex
	at []time.Duration
}

// countDials counts the attempts of all instances.
func countDials(w *sim.World, role string) *count {
	c := &count{role: role, world: w}
	each := w.Fleet.Each
	w.Fleet.Each = func(host string, cfg *app.Config) {
		each(host, cfg)
		cfg.Fabric = watched{cfg.Fabric, c}
	}
	return c
}

func (c *count) add(addr string) {
	if t := c.world.Time(); t > 0 && strings.HasPrefix(addr, c.role+"-") {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.at = append(c.at, t)
	}
}

// most finds amiss a stretch of time, between two, that has more attempts than
// it may.
func (c *count) most(from, to, stretch time.Duration, most int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := 0 // of the stretch that ends with the i-th
	for i, t := range c.at {
		for c.at[first] <= t-stretch || c.at[first] < from {
			if first++; first > i {
				break
			}
		}
		if n := i - first + 1; t < to && n > most {
			return fmt.Errorf("there were %d in the %v before %v", n, stretch, t)
		}
	}
	return nil
}

// A watched Fabric counts who connects.
type watched struct {
	app.Fabric
	count *count
}

// Host implements app.Fabric.
func (w watched) Host(name string) (registry.Registry, network.Network) {
	reg, net := w.Fabric.Host(name)
	return reg, dialling{net, w.count}
}

type dialling struct {
	network.Network
	count *count
}

// Dial implements network.Network.
func (d dialling) Dial(ctx context.Context, addr string) (net.Conn, error) {
	d.count.add(addr)
	return d.Network.Dial(ctx, addr)
}
