package zoo

import (
	"context"
	"fmt"

	"example.com/app/platform/app"
	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/load"
	"example.com/app/sim/zoo/parts"
)

// duplicateEffect is a call that is sent again when no answer came, to who can't
// tell the second from another first.
func duplicateEffect() Bug {
	const once = "an order is placed once"
	return bug("duplicate-effect", "a retry repeats what had its effect already", once, func(planted bool) sim.Scenario {
		disk := new(parts.Disk)
		place := func(env *app.Env) parts.Method {
			return parts.Method{Name: "Place", Do: func(_ context.Context, words []string) (string, error) {
				if !disk.Swap("order/"+words[0], "placed", 0) && !planted {
					return "placed before", nil
				}
				env.Fact("order.placed", words[0], "")
				return "placed", nil
			}}
		}
		return sim.Scenario{
			Roles: []app.Role{retrying("orders", "Place"), backend("orders", place)},
			Fleet: map[string]int{"gateway": 1, "orders": 2},
			Calls: load.Requests("POST /orders"),
			Faults: among([]string{"orders"}, fault.Plan{
				Count: 6, Links: [][2]string{{"gateway-1", "orders-1"}, {"gateway-1", "orders-2"}},
				Kinds: []fault.Kind{fault.SlowCalls, fault.LoseRequest, fault.LoseReply, fault.Crash, fault.Restart, fault.Reset, fault.Partition},
			}),
			Check: fresh(disk, func(w *sim.World) {
				placed := map[string]string{}
				w.Always(once, func(f app.Fact) error {
					if by, ok := placed[f.Key]; ok {
						return fmt.Errorf("%s placed order %s again, after %s", f.Host, f.Key, by)
					}
					placed[f.Key] = f.Host
					return nil
				})
			}),
		}
	})
}

// backend is a role with one method.
func backend(role string, method func(*app.Env) parts.Method) app.Role {
	return parts.Backend(role, func(env *app.Env) (app.Service, error) {
		return parts.Service{Role: role, Methods: []parts.Method{method(env)}}, nil
	})
}

// retrying is a gateway that asks one method of one role until it answers,
// with the id of the request and what the path has beside its first part.
func retrying(role, method string) app.Role {
	return parts.Gateway(patience, func(env *app.Env) (parts.Door, error) {
		peer, err := parts.Dial(env, role)
		return func(ctx context.Context, id string, path []string) (text string, err error) {
			err = parts.Retry(ctx, func() error {
				text, err = peer.Ask(ctx, method, append([]string{id}, path[1:]...)...)
				return err
			})
			return text, err
		}, err
	})
}
