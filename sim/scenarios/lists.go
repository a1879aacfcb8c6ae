package scenarios

import (
	"fmt"
	"strings"
	"time"

	"example.com/app/platform/app"
	"example.com/app/sim"
)

// RegistryCut takes the registry away from everybody, for longer than it
// remembers who is up.
func RegistryCut() sim.Scenario {
	return sim.Scenario{
		Name: "registry-cut", Doc: "the registry is out of reach: the fleet goes on with what it knew",
		Fleet: fleet(3), Calls: hello(), Duration: 100 * time.Second, Heal: forgotten,
		Faults: sim.Script("5s partition * <-> registry for 40s", "55s registry-down for 15s", "75s registry-lost", "85s restart greeter-2 for 5s"),
		Check: func(w *sim.World) {
			w.NoneLost()
			allCall(w)
		},
	}
}

// SplitView has half of the gateways see a list that is no longer true.
func SplitView() sim.Scenario {
	return sim.Scenario{
		Name: "split-view", Doc: "half of the gateways see an old list of greeters",
		Fleet: map[string]int{"gateway": 4, "greeter": 4, "phrasebook": 2, "issuer": 1}, Calls: hello(), Heal: forgotten,
		Faults: sim.Script(
			"8s split-view gateway-1 for 35s", "8s split-view gateway-2 for 35s",
			"12s restart greeter-1 for 20s", "15s restart greeter-2 for 3s", "20s crash greeter-3 for 5s",
		),
		Check: func(w *sim.World) {
			w.NoneLost()
			allCall(w)
		},
	}
}

// forgotten is when an instance that was slow, or failed, is tried again at the
// latest: its balancer forgets in three times 10 s, and may have ejected it for
// 20 s when it last looked. Scenarios that wait for it heal for as long.
const forgotten = 50 * time.Second

// allCall wants that in a while after all is healed each gateway calls each
// greeter.
func allCall(w *sim.World) {
	seen := map[string]bool{}
	w.EachCall("who calls whom is noted", func(c app.Call) error {
		if peer, _, _ := strings.Cut(c.Peer, ":"); c.Role == "greeter" && w.Healed() {
			seen[peer+" "+c.Host] = true
		}
		return nil
	})
	w.Eventually("each gateway calls each greeter", forgotten, func() error {
		for i := range w.Scenario.Fleet["gateway"] {
			for j := range w.Scenario.Fleet["greeter"] {
				if pair := fmt.Sprintf("gateway-%d greeter-%d", i+1, j+1); !seen[pair] {
					return fmt.Errorf("not %s", pair)
				}
			}
		}
		return nil
	})
}
