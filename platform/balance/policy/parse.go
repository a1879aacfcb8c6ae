package policy

import (
	"example.com/app/platform/balance"
	"example.com/app/platform/errs"
	"strings"
)

// Parse makes the policy that a text names, as in "peak_ewma". It is a new one
// each time: one policy serves one Balancer. An empty text means the default.
func Parse(text string) (balance.Policy, error) {
	switch text {
	case "", "peak_ewma":
		return PeakEWMA{}, nil
	case "round_robin":
		return new(RoundRobin), nil
	case "weighted_round_robin":
		return new(WeightedRoundRobin), nil
	case "random":
		return Random{}, nil
	case "least_request":
		return LeastRequest{}, nil
	}
	return nil, errs.Invalid.New("there is no balancing policy %q: want one of %s", text, strings.Join(Names(), ", "))
}

// Names are the texts that Parse reads, the default first.
func Names() []string {
	return []string{"peak_ewma", "least_request", "round_robin", "weighted_round_robin", "random"}
}
