package zoo

import (
	"context"
	"net"
	"sync"
	"time"

	"example.com/app/platform/app"
	"example.com/app/platform/network"
	"example.com/app/platform/registry"
	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/load"
	"example.com/app/sim/zoo/parts"
)

// drainOrder is an instance that closes its door first and leaves the registry
// then.
func drainOrder() Bug {
	const none = "no request is lost"
	return bug("drain-order", "an instance stops listening before it leaves the registry", none, func(planted bool) sim.Scenario {
		return sim.Scenario{
			Roles: []app.Role{asking("orders", "List"), backend("orders", func(*app.Env) parts.Method {
				return parts.Method{Name: "List", Do: func(ctx context.Context, _ []string) (string, error) {
					parts.Sleep(ctx, 30*time.Millisecond)
					return "nothing ordered", ctx.Err()
				}}
			})},
			Fleet:    map[string]int{"gateway": 1, "orders": 3},
			Arrivals: load.Poisson(20),
			Calls:    load.Requests("GET /orders"),
			// One instance is spared: where all are restarted at once nobody answers.
			Faults: func(d sim.Draft) []fault.Fault {
				kinds := []fault.Kind{fault.Restart, fault.SlowCalls, fault.RegistryIndex, fault.RegistryStale}
				return fault.Plan{Count: 5, Kinds: kinds, Places: d.Of("orders")[1:], Within: d.Within, Last: 3 * time.Second}.Draw(d.Seed)
			},
			Check: func(w *sim.World) {
				if each := w.Fleet.Each; planted {
					w.Fleet.Each = func(host string, cfg *app.Config) {
						each(host, cfg)
						cfg.Fabric = hasty{cfg.Fabric}
					}
				}
				w.NoneLost()
			},
		}
	})
}

// asking is a gateway that asks one method of one role once.
func asking(role, method string) app.Role {
	return parts.Gateway(patience, func(env *app.Env) (parts.Door, error) {
		peer, err := parts.Dial(env, role)
		return func(ctx context.Context, id string, path []string) (string, error) {
			return peer.Ask(ctx, method, append([]string{id}, path[1:]...)...)
		}, err
	})
}

// hasty is ground on which whoever leaves the registry closes its door before.
type hasty struct{ app.Fabric }

// Host implements app.Fabric.
func (h hasty) Host(name string) (registry.Registry, network.Network) {
	reg, net := h.Fabric.Host(name)
	d := &doors{Network: net}
	return hastyRegistry{reg, d}, d
}

type hastyRegistry struct {
	registry.Registry
	doors *doors
}

// Register implements registry.Registry.
func (r hastyRegistry) Register(ctx context.Context, in registry.Registration) error {
	listed, leave := context.WithCancel(context.WithoutCancel(ctx))
	shut := context.AfterFunc(ctx, func() {
		r.doors.shut()
		leave()
	})
	defer leave()
	defer shut()
	return r.Registry.Register(listed, in)
}

// doors are what a host listens on, and who came in.
type doors struct {
	network.Network
	mu   sync.Mutex
	open []interface{ Close() error }
}

// Listen implements network.Network.
func (d *doors) Listen(ctx context.Context, addr string) (net.Listener, error) {
	l, err := d.Network.Listen(ctx, addr)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = append(d.open, l)
	return listener{l, d}, nil
}

// shut closes all of it.
func (d *doors) shut() {
	d.mu.Lock()
	open := d.open
	d.open = nil
	d.mu.Unlock()
	for _, c := range open {
		_ = c.Close()
	}
}

// A listener notes who comes in.
type listener struct {
	net.Listener
	doors *doors
}

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.doors.mu.Lock()
		defer l.doors.mu.Unlock()
		l.doors.open = append(l.doors.open, c)
	}
	return c, err
}
