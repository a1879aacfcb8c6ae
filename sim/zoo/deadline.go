package zoo

import (
	"context"
	"fmt"
	"time"

	"example.com/app/platform/app"
	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/load"
	"example.com/app/sim/zoo/parts"
)

// deadline is work that goes on when nobody waits for it any more.
func deadline() Bug {
	const wanted = "no work is done for who has given up"
	const slack = 50 * time.Millisecond // a deadline travels as the time that is left, and loses the way there
	return bug("deadline", "a call does not hand on the deadline of the call that it is made for", wanted, func(planted bool) sim.Scenario {
		return sim.Scenario{
			Roles: []app.Role{
				hurried(500 * time.Millisecond),
				parts.Backend("orders", func(env *app.Env) (app.Service, error) {
					stock, err := parts.Dial(env, "stock")
					place := func(ctx context.Context, words []string) (string, error) {
						if planted {
							ctx = context.WithoutCancel(ctx)
						}
						return stock.Ask(ctx, "Take", words[0])
					}
					return parts.Service{Role: "orders", Methods: []parts.Method{{Name: "Place", Do: place}}}, err
				}),
				backend("stock", func(env *app.Env) parts.Method {
					return parts.Method{Name: "Take", Do: func(_ context.Context, words []string) (string, error) {
						env.Fact("taken", words[0], "")
						return "taken", nil
					}}
				}),
			},
			Fleet: map[string]int{"gateway": 1, "orders": 2, "stock": 2},
			Calls: load.Requests("POST /orders"),
			// None that delays what is under way on the network: a late call brings
			// a deadline as late.
			Faults: sim.SwarmOn([]string{"orders", "stock"}, 5, fault.SlowCalls, fault.LoseRequest, fault.LoseReply, fault.Duplicate, fault.Crash, fault.Restart, fault.RegistryStale),
			Check: func(w *sim.World) {
				over := map[string]time.Duration{}
				w.Always(wanted, func(f app.Fact) error {
					if f.Name == "given up" {
						over[f.Key] = w.Time()
					} else if at, ok := over[f.Key]; ok && w.Time() > at+slack {
						return fmt.Errorf("%s worked for %s %v after that was given up", f.Host, f.Key, w.Time()-at)
					}
					return nil
				})
			},
		}
	})
}

// hurried is a gateway that gives orders so much time.
func hurried(most time.Duration) app.Role {
	return parts.Gateway(most, func(env *app.Env) (parts.Door, error) {
		orders, err := parts.Dial(env, "orders")
		return func(ctx context.Context, id string, _ []string) (string, error) {
			text, err := orders.Ask(ctx, "Place", id)
			if ctx.Err() != nil {
				env.Fact("given up", id, "")
			}
			return text, err
		}, err
	})
}
