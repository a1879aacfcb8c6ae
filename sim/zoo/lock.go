package zoo

import (
	"context"
	"fmt"
	"time"

	"example.com/app/platform/app"
	"example.com/app/platform/errs"
	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/load"
	"example.com/app/sim/zoo/parts"
)

// lockAcrossCall is a lock whose holder waits for somebody far away.
func lockAcrossCall() Bug {
	const quick = "a quote, which asks nobody, is quick"
	return bug("lock-across-call", "a lock is held while another role is asked", quick, func(planted bool) sim.Scenario {
		return sim.Scenario{
			Roles: []app.Role{
				choosing("orders", map[string]string{"orders": "Place", "quote": "Quote"}),
				parts.Backend("orders", func(env *app.Env) (app.Service, error) { return counter(env, planted) }),
				backend("stock", func(*app.Env) parts.Method {
					return parts.Method{Name: "Take", Do: func(context.Context, []string) (string, error) { return "taken", nil }}
				}),
			},
			Fleet: map[string]int{"gateway": 1, "orders": 2, "stock": 2},
			Calls: load.Requests("POST /orders", "GET /quote", "GET /quote"),
			Faults: among([]string{"stock"}, fault.Plan{
				Count: 5, Last: 3 * time.Second, Links: [][2]string{{"orders-1", "stock"}, {"orders-2", "stock"}},
				Kinds: []fault.Kind{fault.SlowCalls, fault.Partition, fault.LoseRequest, fault.LoseReply, fault.Crash, fault.Restart},
			}),
			Check: func(w *sim.World) {
				w.EachCall(quick, func(c app.Call) error {
					if c.Method == parts.Full("orders", "Quote") && c.Duration > 150*time.Millisecond {
						return fmt.Errorf("%s took %v for a quote", c.Host, c.Duration.Round(time.Millisecond))
					}
					return nil
				})
			},
		}
	})
}

// counter is the role that takes orders one at a time, and quotes prices.
func counter(env *app.Env, planted bool) (app.Service, error) {
	stock, err := parts.Dial(env, "stock")
	lock := make(chan struct{}, 1)
	locked := func(ctx context.Context, do func() (string, error)) (string, error) {
		select {
		case lock <- struct{}{}:
		case <-ctx.Done():
			return "", errs.Unavailable.New("wait for others: %w", ctx.Err())
		}
		defer func() { <-lock }()
		return do()
	}
	place := func(ctx context.Context, words []string) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		take := func() (string, error) { return stock.Ask(ctx, "Take", words[0]) }
		if planted {
			return locked(ctx, take)
		}
		if text, err := take(); err != nil {
			return text, err
		}
		return locked(ctx, func() (string, error) { return "placed", nil })
	}
	quote := func(ctx context.Context, _ []string) (string, error) {
		return locked(ctx, func() (string, error) { return "12.50", nil })
	}
	return parts.Service{Role: "orders", Methods: []parts.Method{{Name: "Place", Do: place}, {Name: "Quote", Do: quote}}}, err
}

// choosing is a gateway that asks the method of a role that the first part of
// the path stands for, once.
func choosing(role string, methods map[string]string) app.Role {
	return parts.Gateway(patience, func(env *app.Env) (parts.Door, error) {
		peer, err := parts.Dial(env, role)
		return func(ctx context.Context, id string, path []string) (string, error) {
			return peer.Ask(ctx, methods[path[0]], append([]string{id}, path[1:]...)...)
		}, err
	})
}
