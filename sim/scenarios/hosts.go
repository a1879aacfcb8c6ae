package scenarios

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"example.com/app/platform/app"
	"example.com/app/platform/resilience"
	"example.com/app/platform/rpc"
	"example.com/app/sim"
	"example.com/app/sim/load"
	"example.com/app/sim/scenarios/shop"
)

// SlowNode has one of five greeters take twenty times as long.
func SlowNode() sim.Scenario {
	return sim.Scenario{
		Name: "slow-node", Doc: "one of five greeters is twenty times slower: it is asked less, and few users notice",
		Fleet: fleet(5), Calls: hello(), Arrivals: load.Poisson(50), Duration: 40 * time.Second, Heal: 10 * time.Second,
		Node:   func(cfg *app.Config) { cfg.Work = map[string]resilience.Work{"greeter": {Time: 10 * time.Millisecond}} },
		Faults: sim.Script("5s slow-calls greeter-3 190ms for 35s"),
		Check: func(w *sim.World) {
			var all load.Tally
			calls := map[string]int{}
			struck := func() bool { return len(w.Active()) > 0 }
			w.EachCall("calls are counted", func(c app.Call) error {
				if struck() && c.Role == "greeter" {
					calls[c.Host]++
				}
				return nil
			})
			w.EachRequest("requests are measured", func(d load.Done) error {
				if struck() {
					all.Add(d.Took, d.Err == nil)
				}
				return d.Err
			})
			w.Finally("95 of 100 requests are as fast as ever", func() error {
				if p95 := all.Quantile(0.95); p95 > 50*time.Millisecond {
					return fmt.Errorf("the 95th percentile is %v", p95)
				}
				return nil
			})
			w.Finally("the slow greeter is asked less than half as much as its peers", func() error {
				slow, fast := calls["greeter-3"], calls["greeter-1"]+calls["greeter-2"]+calls["greeter-4"]+calls["greeter-5"]
				if 2*slow > fast/4 {
					return fmt.Errorf("it got %d calls, the other four %d", slow, fast)
				}
				return nil
			})
		},
	}
}

// Gray has instances that look healthy and are not.
func Gray() sim.Scenario {
	return sim.Scenario{
		Name: "gray", Doc: "a greeter says that it is well and fails, and then one whose replies get lost",
		Fleet: fleet(4), Calls: hello(), Patience: 2 * time.Second, Arrivals: load.Poisson(30), Heal: forgotten,
		Faults: sim.Script("5s lose-request greeter-2 1 for 15s", "35s partition greeter-3 -> gateway for 15s"),
		Check: func(w *sim.World) {
			lostAtOnce(w, 5*time.Second)
			failed := map[string]int{}
			w.EachCall("an instance that fails is asked now and then alone", func(c app.Call) error {
				if c.Role == "greeter" && c.Failed() {
					failed[c.Host]++
				}
				if n := failed[c.Host]; n > ejected {
					return fmt.Errorf("%s failed %d calls", c.Host, n)
				}
				return nil
			})
			w.Sometimes("an instance fails", func() bool { return failed["greeter-2"] > 0 })
			allCall(w)
		},
	}
}

// ejected is how many calls an instance may fail in a quarter of a minute: five
// of each gateway, one trial after 5 s and another 10 s later, and what was under
// way.
const ejected = 2*(5+2) + 6

// Overload asks for three times as much as stock can do.
func Overload() sim.Scenario {
	const workers, each, can = 4, 100 * time.Millisecond, 40.0 // calls per second
	const from, to = 7 * time.Second, 20 * time.Second         // when the flood has had its effect
	return sim.Scenario{
		Name: "overload", Doc: "three times as much is asked as stock can do: orders come first, and the rest is refused early",
		Roles: shop.Roles(shop.Ledger), Fleet: map[string]int{"gateway": 2, "orders": 2, "stock": 1},
		Node: func(cfg *app.Config) {
			cfg.Work = map[string]resilience.Work{"stock": {Time: each, Workers: workers, Queue: 100}}
			cfg.Limits = map[string]resilience.LimitConfig{"stock": {Initial: 2 * workers, Min: workers, Max: 2 * workers, Queue: 2 * workers}}
			cfg.Methods = rpc.Methods{
				shop.PlaceOrder: {Priority: resilience.Critical}, shop.TakeItem: {Priority: resilience.Critical},
				shop.CountItems: {Priority: resilience.Sheddable},
			}
		},
		Calls: []load.Call{weighing(1, order()), weighing(5, load.Request("GET /items"))}, Patience: time.Second,
		Arrivals: load.Flash(can/4, 3*can, from-2*time.Second, to-from+2*time.Second), Duration: to + 5*time.Second,
		Check: func(w *sim.World) {
			var orders, placed, done float64
			w.EachRequest("what is refused is refused by name", func(d load.Done) error {
				if d.Began < from || d.Began > to {
					return nil
				}
				if d.Call == order().Name {
					orders++
				}
				if d.Err == nil && d.Call == order().Name {
					placed++
				}
				if d.Err == nil {
					done++
				}
				var answer *load.StatusError
				if d.Err != nil && !(errors.As(d.Err, &answer) && answer.Status == http.StatusTooManyRequests) {
					return d.Err
				}
				return nil
			})
			w.EachCall("no queue is long", func(c app.Call) error {
				if c.Duration > 5*each {
					return fmt.Errorf("%s took %v for %s", c.Host, c.Duration, c.Method)
				}
				return nil
			})
			w.Finally("stock does what it can", func() error {
				if could := can * (to - from).Seconds(); done < 0.7*could {
					return fmt.Errorf("%v requests were answered, of %v that it could", done, could)
				}
				return nil
			})
			w.Finally("orders are placed", func() error {
				if placed < 0.95*orders {
					return fmt.Errorf("%v of %v were", placed, orders)
				}
				return nil
			})
		},
	}
}

// weighing is a call that is done so often, beside others.
func weighing(weight float64, c load.Call) load.Call {
	c.Weight = weight
	return c
}
