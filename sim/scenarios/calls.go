package scenarios

import (
	"fmt"
	"time"

	"google.golang.org/grpc/codes"

	"example.com/app/platform/app"
	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/load"
	"example.com/app/sim/scenarios/shop"
)

// RetryEffect loses replies after the effect, and has requests delivered twice.
func RetryEffect() sim.Scenario {
	return sim.Scenario{
		Name: "retry-effect", Doc: "replies are lost after the effect: an order that is tried again is sold once",
		Roles: shop.Roles(shop.Ledger), Fleet: map[string]int{"gateway": 2, "orders": 3, "stock": 1},
		Calls: []load.Call{order()}, Patience: time.Second,
		Faults: sim.Together(
			sim.SwarmOn([]string{"orders", "stock"}, 8, fault.LoseReply, fault.Duplicate, fault.LoseRequest),
			sim.Script("10s lose-reply stock 0.3 for 20s", "35s lose-reply orders 0.3 for 20s", "20s reset gateway <-> orders", "40s reset orders <-> stock"),
		),
		Check: func(w *sim.World) {
			sold, again := map[string]bool{}, false
			w.Always("an order is sold once", func(f app.Fact) error {
				again = again || f.Name == shop.Asked
				if f.Name == shop.Sold && sold[f.Key] {
					return fmt.Errorf("%s was sold twice", f.Key)
				}
				if f.Name == shop.Sold {
					sold[f.Key] = true
				}
				return nil
			})
			w.Always("an order that a user was told of is sold", func(f app.Fact) error {
				if f.Name == shop.Answered && !sold[f.Key] {
					return fmt.Errorf("%s was not", f.Key)
				}
				return nil
			})
			w.Sometimes("an order that was sold is tried again", func() bool { return again })
		},
	}
}

// RetryStorm has most calls of a role fail. Each is worth a retry, and all of
// them together would be a second flood.
func RetryStorm() sim.Scenario {
	return sim.Scenario{
		Name: "retry-storm", Doc: "most calls to greeters fail: retries stay within their budget",
		Fleet: fleet(4), Calls: hello(), Arrivals: load.Poisson(40), Patience: 2 * time.Second, Duration: 30 * time.Second,
		Faults: sim.Script("10s lose-request greeter 0.8 for 10s", "10s slow-calls greeter 200ms for 10s"),
		Check: func(w *sim.World) {
			var asked, calls float64
			storm := func() bool { return len(w.Active()) > 0 }
			w.EachRequest("retries stay within their budget", func(load.Done) error {
				if storm() {
					asked++
				}
				if most := budget*asked + burst; calls > most {
					return fmt.Errorf("%v requests made %v calls, above %v", asked, calls, most)
				}
				return nil
			})
			w.EachCall("calls are counted", func(c app.Call) error {
				if storm() && c.Role == "greeter" {
					calls++
				}
				return nil
			})
			w.Sometimes("a call is tried again", func() bool { return calls > asked })
		},
	}
}

// What rpc.Dial lets its callers retry: one call in ten, after a first burst of
// 50 from each of the two gateways, and those that are under way.
const (
	budget = 1.1
	burst  = 2*50 + 20
)

// Deadlines has the last of three hops take longer than the first one waits.
func Deadlines() sim.Scenario {
	return sim.Scenario{
		Name: "deadlines", Doc: "the last of three hops is slow: nobody works on what nobody waits for",
		Roles: shop.Roles(shop.Ledger), Fleet: map[string]int{"gateway": 2, "orders": 2, "stock": 1},
		Calls: []load.Call{order()}, Patience: time.Second,
		Faults: sim.Script("5s slow-calls stock 300ms for 15s", "25s slow-calls stock 880ms for 10s", "40s slow-calls stock 5s for 10s"),
		Check: func(w *sim.World) {
			until, late := map[string]time.Time{}, false
			w.Always("who is asked has no more time than who asks", func(f app.Fact) error {
				if f.Name != shop.Deadline {
					return nil
				}
				t, err := time.Parse(time.RFC3339Nano, f.Value)
				if err != nil {
					return err
				}
				if f.Role == "gateway" {
					until[f.Key] = t
				}
				if more := t.Sub(until[f.Key]); more > roundTrip {
					return fmt.Errorf("%s has %v more", f.Host, more)
				}
				return nil
			})
			w.EachCall("nobody works on when the deadline has passed", func(c app.Call) error {
				late = late || c.Code == codes.DeadlineExceeded
				if over := time.Since(until[c.ID]); over > roundTrip {
					return fmt.Errorf("%s answered %s %v after it", c.Host, c.Method, over)
				}
				return nil
			})
			w.Sometimes("a deadline passes", func() bool { return late })
		},
	}
}

// roundTrip is the longest way there and back on links as they are by default:
// a deadline travels as what is left, and so is later by the way there.
const roundTrip = 2 * time.Millisecond
