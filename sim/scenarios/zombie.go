package scenarios

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"

	"example.com/app/platform/app"
	"example.com/app/platform/registry"
	"example.com/app/sim"
	"example.com/app/sim/load"
	"example.com/app/sim/scenarios/shop"
)

// Zombie has the registry list an instance that is another role by now.
func Zombie() sim.Scenario {
	s := sim.Scenario{
		Name: "zombie", Doc: "the registry lists an address that another role has taken over",
		Roles: append(shop.Roles(shop.Ledger), ghost()), Fleet: map[string]int{"gateway": 2, "orders": 2, "stock": 1, "ghost": 1},
		Calls: []load.Call{order()}, Patience: time.Second,
		Faults: sim.Script("10s crash orders-2 for 20s", "40s powercut orders-1 for 5s"),
	}
	s.Check = func(w *sim.World) {
		listed := false
		w.Always("the zombie is noted", func(f app.Fact) error {
			listed = listed || f.Name == haunting
			return nil
		})
		w.EachCall("nobody gets a call that is for another role", func(c app.Call) error {
			if service := map[string]string{"stock": "/shop.Stock/", "orders": "/shop.Orders/"}[c.Role]; !strings.HasPrefix(c.Method, service) {
				return fmt.Errorf("%s got %s", c.Host, c.Method)
			}
			return nil
		})
		lostAtOnce(w, time.Second)
		w.Sometimes("the zombie is listed", func() bool { return listed })
	}
	return s
}

// haunting is the fact that the ghost is listed.
const haunting = "haunting"

// ghost is a role that has the registry list orders where stock is.
func ghost() app.Role {
	return app.Role{Name: "ghost", New: func(env *app.Env) (app.Service, error) { return haunts{env}, nil }}
}

type haunts struct{ env *app.Env }

// Register adds a service that nobody calls: a role must have one.
func (h haunts) Register(s grpc.ServiceRegistrar) {
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "shop.Ghost", HandlerType: (*app.Service)(nil)}, h)
}

// Run keeps the zombie listed until ctx ends.
func (h haunts) Run(ctx context.Context) error {
	zombie := registry.Instance{ID: "orders-9-dead", Role: "orders", Addr: "stock-1:50051", Weight: 1, Tags: []string{"grpc"}, Meta: map[string]string{"protocol": "grpc"}}
	return h.env.Registry.Register(ctx, registry.Registration{Instance: zombie, Report: func(err error) {
		if err == nil {
			h.env.Fact(haunting, zombie.Addr, "")
		}
	}})
}
