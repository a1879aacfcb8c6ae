// Package zoo keeps bugs, to show that the simulator finds them.
//
// Each bug lives in a small system of its own that runs on the real platform.
// The system is written twice in a few lines, once right and once with the bug
// planted. Without it the scenario holds for every seed; with it some seeds
// break one invariant, and none does where nothing goes wrong: what shows
// without a fault needs no simulator.
package zoo

import (
	"time"

	"example.com/app/platform/app"
	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/load"
	"example.com/app/sim/zoo/parts"
)

// A Bug is something that goes wrong in many a system.
type Bug struct {
	Name      string // as in `app sim zoo-NAME`
	Doc       string // what the bug is, in one line
	Invariant string // what it breaks

	// Scenario has the bug in it, or not. Two scenarios share nothing; one must
	// not run twice at the same time.
	Scenario func(planted bool) sim.Scenario
}

// Bugs are all that the zoo has.
func Bugs() []Bug {
	return []Bug{
		duplicateEffect(),
		lostUpdate(),
		zombie(),
		clockSkew(),
		drainOrder(),
		deadline(),
		lockAcrossCall(),
		staleCache(),
		halfConfig(),
		earlyAck(),
		leakedPermit(),
	}
}

// bug puts together what all have in common.
func bug(name, doc, invariant string, build func(planted bool) sim.Scenario) Bug {
	return Bug{Name: name, Doc: doc, Invariant: invariant, Scenario: func(planted bool) sim.Scenario {
		s := build(planted)
		s.Name, s.Doc = "zoo-"+name, doc
		s.Duration, s.Heal, s.Recovery, s.Patience = 20*time.Second, 12*time.Second, 7*time.Second, 5*time.Second
		if s.Arrivals == nil {
			s.Arrivals = load.Poisson(10)
		}
		s.Node = func(cfg *app.Config) {
			cfg.Drain, cfg.Balance = time.Second, map[string]app.Balance{"": {Policy: "round_robin"}}
		}
		return s
	}}
}

// patience is how long a gateway tries to get an answer.
const patience = 3 * time.Second

// fresh empties a disk before a run, so that a scenario can be run again.
func fresh(disk *parts.Disk, check func(*sim.World)) func(*sim.World) {
	return func(w *sim.World) {
		disk.Wipe()
		check(w)
	}
}

// among is the plan of faults on some roles.
func among(roles []string, p fault.Plan) sim.Faults {
	return func(d sim.Draft) []fault.Fault {
		p.Places, p.Within = d.Of(roles...), d.Within
		return p.Draw(d.Seed)
	}
}
