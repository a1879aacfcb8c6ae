package zoo

import (
	"context"

	"example.com/app/platform/app"
	"example.com/app/platform/errs"
	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/load"
	"example.com/app/sim/zoo/parts"
)

// leakedPermit is a limit that fills up with calls that failed.
func leakedPermit() Bug {
	const again = "requests are answered again after all is healed" // which holds in every world
	return bug("leaked-permit", "a place in a limit is not given back where the call fails", again, func(planted bool) sim.Scenario {
		return sim.Scenario{
			Roles: []app.Role{
				asking("orders", "Place"),
				parts.Backend("orders", func(env *app.Env) (app.Service, error) { return limited(env, planted) }),
				backend("stock", func(*app.Env) parts.Method {
					return parts.Method{Name: "Take", Do: func(context.Context, []string) (string, error) { return "taken", nil }}
				}),
			},
			Fleet: map[string]int{"gateway": 1, "orders": 2, "stock": 2},
			Calls: load.Requests("POST /orders"),
			Faults: sim.SwarmOn([]string{"stock"}, 5, fault.SlowCalls, fault.LoseRequest, fault.LoseReply, fault.Crash, fault.Restart,
				fault.Duplicate, fault.RegistryIndex, fault.RegistryStale),
		}
	})
}

// places is how many calls an instance has under way at most.
const places = 4

// limited is the role that makes so many calls at a time and no more.
func limited(env *app.Env, planted bool) (app.Service, error) {
	stock, err := parts.Dial(env, "stock")
	permits := make(chan struct{}, places)
	place := func(ctx context.Context, words []string) (string, error) {
		select {
		case permits <- struct{}{}:
		case <-ctx.Done():
			return "", errs.Unavailable.New("wait for a place: %w", ctx.Err())
		}
		text, err := stock.Ask(ctx, "Take", words[0])
		if planted && err != nil {
			return "", err
		}
		<-permits
		return text, err
	}
	return parts.Service{Role: "orders", Methods: []parts.Method{{Name: "Place", Do: place}}}, err
}
