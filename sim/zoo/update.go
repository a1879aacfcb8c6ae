package zoo

import (
	"context"
	"fmt"
	"strconv"

	"example.com/app/platform/app"
	"example.com/app/platform/errs"
	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/load"
	"example.com/app/sim/zoo/parts"
)

// lostUpdate is a value that is read, changed and written back by several, none
// of whom looks whether it is the one that was read.
func lostUpdate() Bug {
	const counted = "each sale lowers the stock"
	return bug("lost-update", "read, change, write back: and over what another wrote in between", counted, func(planted bool) sim.Scenario {
		disk := new(parts.Disk)
		return sim.Scenario{
			Roles: []app.Role{
				retrying("orders", "Sell"),
				parts.Backend("orders", seller),
				parts.Backend("stock", func(env *app.Env) (app.Service, error) { return shelf(env, disk, planted), nil }),
			},
			Fleet: map[string]int{"gateway": 1, "orders": 2, "stock": 1},
			// In turn, so that two sales of one item are half a second apart: only
			// what takes long lets them meet.
			Calls:  load.Requests("POST /sell/apple", "POST /sell/book", "POST /sell/cup", "POST /sell/dress", "POST /sell/egg"),
			Faults: sim.SwarmOn([]string{"orders", "stock"}, 6, fault.SlowCalls, fault.LoseRequest, fault.LoseReply, fault.Crash, fault.Restart),
			Check: fresh(disk, func(w *sim.World) {
				seen := map[string]bool{}
				w.Always(counted, func(f app.Fact) error {
					level := f.Key + " " + f.Value
					if seen[level] {
						return fmt.Errorf("%s was sold, and %s are left as before", f.Key, f.Value)
					}
					seen[level] = true
					return nil
				})
			}),
		}
	})
}

// seller is the role that reads the stock and writes it back.
func seller(env *app.Env) (app.Service, error) {
	stock, err := parts.Dial(env, "stock")
	sell := func(ctx context.Context, words []string) (string, error) {
		item := words[1]
		text, err := stock.Ask(ctx, "Read", item)
		if err != nil {
			return "", err
		}
		var level, version int
		if _, err := fmt.Sscan(text, &level, &version); err != nil {
			return "", errs.Internal.New("read the stock: %w", err)
		}
		return stock.Ask(ctx, "Write", item, strconv.Itoa(level-1), strconv.Itoa(version))
	}
	return parts.Service{Role: "orders", Methods: []parts.Method{{Name: "Sell", Do: sell}}}, err
}

// shelf is the role that keeps the stock.
func shelf(env *app.Env, disk *parts.Disk, planted bool) app.Service {
	read := func(_ context.Context, words []string) (string, error) {
		row := disk.Read(words[0])
		if row.Version == 0 {
			row.Value = "1000"
		}
		return fmt.Sprint(row.Value, " ", row.Version), nil
	}
	write := func(_ context.Context, words []string) (string, error) {
		item, level := words[0], words[1]
		version, err := strconv.Atoi(words[2])
		if err != nil {
			return "", errs.Invalid.New("write the stock: %w", err)
		}
		if planted {
			disk.Write(item, level)
		} else if !disk.Swap(item, level, version) {
			return "", errs.Aborted.New("somebody else has sold %s", item)
		}
		env.Fact("stock.written", item, level)
		return level, nil
	}
	return parts.Service{Role: "stock", Methods: []parts.Method{{Name: "Read", Do: read}, {Name: "Write", Do: write}}}
}
