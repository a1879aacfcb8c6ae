package zoo

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"example.com/app/platform/app"
	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/load"
	"example.com/app/sim/zoo/parts"
)

// halfConfig is a setting of two parts, of which one may come alone.
func halfConfig() Bug {
	const whole = "price and tax are of one version"
	return bug("half-config", "a setting of two parts is applied where only one could be read", whole, func(planted bool) sim.Scenario {
		disk := new(parts.Disk)
		return sim.Scenario{
			Roles: []app.Role{
				split(),
				parts.Backend("orders", func(env *app.Env) (app.Service, error) { return bills(env, planted) }),
				parts.Backend("config", func(*app.Env) (app.Service, error) { return settings(disk), nil }),
			},
			Fleet: map[string]int{"gateway": 1, "orders": 2, "config": 1},
			Calls: append(load.Requests("POST /setting"), load.Requests("GET /bill", "GET /bill", "GET /bill", "GET /bill", "GET /bill", "GET /bill", "GET /bill", "GET /bill")...),
			Faults: among([]string{"orders", "config"}, fault.Plan{
				Count: 5, Last: 3 * time.Second,
				Kinds: []fault.Kind{fault.SlowCalls, fault.LoseRequest, fault.LoseReply, fault.Crash, fault.Restart, fault.RegistryEmpty},
			}),
			Check: fresh(disk, func(w *sim.World) {
				w.Always(whole, func(f app.Fact) error {
					if f.Key != f.Value {
						return fmt.Errorf("%s wrote a bill with price %s and tax %s", f.Host, f.Key, f.Value)
					}
					return nil
				})
			}),
		}
	})
}

// split is a gateway for bills and for the setting they are made with.
func split() app.Role {
	return parts.Gateway(patience, func(env *app.Env) (parts.Door, error) {
		orders, err := parts.Dial(env, "orders")
		if err != nil {
			return nil, err
		}
		config, err := parts.Dial(env, "config")
		return func(ctx context.Context, _ string, path []string) (string, error) {
			if path[0] == "setting" {
				return config.Ask(ctx, "Change")
			}
			return orders.Ask(ctx, "Bill")
		}, err
	})
}

// settings is the role that keeps the setting. Both of its parts are the number
// of its version, and a version that was read can be read again.
func settings(disk *parts.Disk) app.Service {
	latest := func(context.Context, []string) (string, error) {
		return strconv.Itoa(disk.Read("setting").Version), nil
	}
	change := func(context.Context, []string) (string, error) {
		return strconv.Itoa(disk.Write("setting", "").Version), nil
	}
	part := func(_ context.Context, words []string) (string, error) { return words[1], nil }
	return parts.Service{Role: "config", Methods: []parts.Method{{Name: "Latest", Do: latest}, {Name: "Change", Do: change}, {Name: "Part", Do: part}}}
}

// A setting is what bills are made with.
type setting struct{ price, tax string }

// bills is the role that follows the setting.
func bills(env *app.Env, planted bool) (app.Service, error) {
	config, err := parts.Dial(env, "config")
	var now atomic.Pointer[setting]
	now.Store(new(setting))
	follow := func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		version, err := config.Ask(ctx, "Latest")
		if err != nil {
			return
		}
		next := *now.Load()
		price, noPrice := config.Ask(ctx, "Part", "price", version)
		tax, noTax := config.Ask(ctx, "Part", "tax", version)
		if noPrice == nil {
			next.price = price
		}
		if noTax == nil {
			next.tax = tax
		}
		if planted || noPrice == nil && noTax == nil {
			now.Store(&next)
		}
	}
	bill := func(context.Context, []string) (string, error) {
		s := now.Load()
		env.Fact("billed", s.price, s.tax)
		return "12.50", nil
	}
	return parts.Worker{
		Service: parts.Service{Role: "orders", Methods: []parts.Method{{Name: "Bill", Do: bill}}},
		Work: func(ctx context.Context) error {
			parts.Every(ctx, 500*time.Millisecond, func() { follow(ctx) })
			return nil
		},
	}, err
}
