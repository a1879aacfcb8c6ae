package scenarios

import (
	"fmt"
	"time"

	"example.com/app/platform/app"
	"example.com/app/platform/resilience"
	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/load"
)

// Rolling restarts every instance in turn, in order. It is a deployment: nobody
// may notice.
func Rolling() sim.Scenario {
	return sim.Scenario{
		Name: "rolling", Doc: "every instance is restarted in turn, and nobody notices",
		Fleet: fleet(3), Calls: hello(),
		Faults: sim.Together(
			sim.Each("phrasebook", fault.Restart, 2*time.Second, 6*time.Second, 2*time.Second),
			sim.Each("greeter", fault.Restart, 15*time.Second, 6*time.Second, 2*time.Second),
			sim.Each("gateway", fault.Restart, 35*time.Second, 6*time.Second, 2*time.Second),
		),
		Check: func(w *sim.World) {
			w.NoneLost()
			w.EachCall("no call fails, even one that is tried again", func(c app.Call) error {
				if c.Failed() {
					return fmt.Errorf("%s: %s from %s: %v", c.Host, c.Method, c.Peer, c.Code)
				}
				return nil
			})
		},
	}
}

// Crash has instances die under load, never all of a role.
func Crash() sim.Scenario {
	return sim.Scenario{
		Name: "crash", Doc: "instances die under load: a moment later nobody calls them",
		Fleet: fleet(4), Calls: hello(), Patience: 2 * time.Second,
		Node: func(cfg *app.Config) {
			cfg.Work = map[string]resilience.Work{"greeter": {Time: takes}} // so that there are calls to cut
		},
		Faults: sim.Together(
			oneOf("greeter", fault.Crash, 4*time.Second, 3*time.Second),
			oneOf("phrasebook", fault.Crash, 9*time.Second, 3*time.Second),
			oneOf("gateway", fault.Crash, 11*time.Second, 3*time.Second),
		),
		Check: func(w *sim.World) {
			w.EachRequest("requests fail because somebody is away, and for no other reason", onlyAway)
			lostAtOnce(w, time.Second)
			w.Sometimes("a call is cut, and made again", func() bool { return w.Users.Longest() > 2*takes })
		},
	}
}

// takes is how long a greeter works on a call, where the scenario says so.
const takes = 50 * time.Millisecond

// PowerCut has instances fall silent, so that their peers are told nothing.
func PowerCut() sim.Scenario {
	return sim.Scenario{
		Name: "powercut", Doc: "machines fall silent, and connections to them stay half open",
		Fleet: fleet(4), Calls: hello(), Patience: 2 * time.Second, Duration: 2 * time.Minute,
		Faults: sim.Script("5s powercut greeter-2 for 50s", "60s powercut gateway-2 for 50s"),
		Check: func(w *sim.World) {
			w.EachRequest("requests fail because somebody is away, and for no other reason", onlyAway)
			lostAtOnce(w, silence)
		},
	}
}

// silence is how long a peer that fell silent may cost requests: the heartbeats
// that its registry waits for (15 s), and a while for the news to get round.
const silence = 20 * time.Second

// lostAtOnce wants that requests fail only if they began less than a while after
// somebody who is still away went.
func lostAtOnce(w *sim.World, while time.Duration) {
	w.EachRequest(fmt.Sprintf("requests are lost in the first %v alone", while), func(d load.Done) error {
		if d.Err == nil {
			return nil
		}
		for _, f := range w.Active() {
			if d.Began <= f.At+while {
				return nil
			}
		}
		return fmt.Errorf("%s, sent at %v: %w", d.Call, d.Began, d.Err)
	})
}
