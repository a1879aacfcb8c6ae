package scenarios

import (
	"example.com/app/sim"
	"example.com/app/sim/fault"
)

// Storm is everything at once: faults of all kinds on all hosts, which the seed
// chooses.
func Storm() sim.Scenario {
	return sim.Scenario{
		Name: "storm", Doc: "faults of all kinds, anywhere, as the seed has it",
		Faults: sim.Swarm(20, fault.Kinds()...),
	}
}
