package zoo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/app/platform/app"
	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/load"
	"example.com/app/sim/zoo/parts"
)

// earlyAck is an answer that says "kept" of what is still in memory.
func earlyAck() Bug {
	const kept = "an order that was taken is not lost"
	return bug("early-ack", "an order is confirmed before it is written down", kept, func(planted bool) sim.Scenario {
		disk := new(parts.Disk)
		return sim.Scenario{
			Roles: []app.Role{
				asking("orders", "Place"),
				parts.Backend("orders", func(env *app.Env) (app.Service, error) { return taker(env, planted) }),
				backend("ledger", func(*app.Env) parts.Method {
					return parts.Method{Name: "Write", Do: func(_ context.Context, words []string) (string, error) {
						for _, id := range words {
							disk.Write("order/"+id, "placed")
						}
						return "written", nil
					}}
				}),
			},
			Fleet: map[string]int{"gateway": 1, "orders": 2, "ledger": 1},
			Calls: load.Requests("POST /orders"),
			Faults: sim.SwarmOn([]string{"orders", "ledger"}, 4, fault.SlowCalls, fault.LoseRequest, fault.LoseReply, fault.Duplicate,
				fault.Crash, fault.PowerCut, fault.Restart, fault.RegistryStale, fault.RegistryLost),
			Check: fresh(disk, func(w *sim.World) {
				var taken []string // long ago, when the run ends
				w.EachRequest(kept, func(d load.Done) error {
					if d.Err == nil && d.Began < w.Scenario.Duration+w.Scenario.Recovery {
						taken = append(taken, d.ID)
					}
					return nil
				})
				w.Finally(kept, func() error {
					lost := slices.DeleteFunc(taken, func(id string) bool { return disk.Read("order/"+id).Version > 0 })
					if len(lost) > 0 {
						return fmt.Errorf("%d are, among them %s", len(lost), lost[0])
					}
					return nil
				})
			}),
		}
	})
}

// A batch is orders that have not been written down.
type batch struct {
	mu  sync.Mutex
	ids []string
}

// add puts orders into the batch.
func (b *batch) add(ids ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ids = append(b.ids, ids...)
}

// take empties the batch.
func (b *batch) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := b.ids
	b.ids = nil
	return ids
}

// taker is the role that takes orders and has them written down.
func taker(env *app.Env, planted bool) (app.Service, error) {
	ledger, err := parts.Dial(env, "ledger")
	waiting := new(batch)
	place := func(ctx context.Context, words []string) (string, error) {
		if planted {
			waiting.add(words[0])
			return "taken", nil
		}
		return ledger.Ask(ctx, "Write", words[0])
	}
	flush := func(ctx context.Context) {
		ids := waiting.take()
		if len(ids) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		if _, err := ledger.Ask(ctx, "Write", strings.Join(ids, " ")); err != nil {
			waiting.add(ids...)
		}
	}
	return parts.Worker{
		Service: parts.Service{Role: "orders", Methods: []parts.Method{{Name: "Place", Do: place}}},
		Work: func(ctx context.Context) error {
			parts.Every(ctx, time.Second, func() { flush(ctx) })
			flush(context.WithoutCancel(ctx)) // an orderly stop leaves nothing behind
			return nil
		},
	}, err
}
