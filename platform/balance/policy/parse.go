package policy

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"example.com/app/platform/balance"
	"example.com/app/platform/errs"
)

// Parse makes the policy that a text names, as in "peak_ewma", or with
// parameters, as in "prequal:probes=2,quantile=0.7". It is a new one each time:
// one policy serves one Balancer. An empty text means the default.
func Parse(text string) (balance.Policy, error) {
	name, rest, _ := strings.Cut(text, ":")
	values, err := parameters(text, name, rest)
	if err != nil {
		return nil, err
	}
	switch name {
	case "", "peak_ewma":
		return PeakEWMA{}, nil
	case "least_request":
		return LeastRequest{}, nil
	case "round_robin":
		return new(RoundRobin), nil
	case "weighted_round_robin":
		return new(WeightedRoundRobin), nil
	case "random":
		return Random{}, nil
	case "prequal":
		return NewPrequal(PrequalConfig{
			Probes: values["probes"], Quantile: values["quantile"], Pool: int(values["pool"]), Remove: values["remove"], Rate: values["rate"],
		}), nil
	case "ring_hash":
		return NewRingHash(HashConfig{Bound: values["bound"], Size: int(values["size"])}), nil
	default: // parameters knows no others
		return NewMaglev(HashConfig{Bound: values["bound"], Size: int(values["size"])}), nil
	}
}

// Names are the texts that Parse reads, the default first.
func Names() []string {
	return []string{"peak_ewma", "prequal", "least_request", "round_robin", "weighted_round_robin", "random", "ring_hash", "maglev"}
}

// A parameter is a number above 0, and at most most.
type parameter struct {
	name  string
	most  float64
	whole bool
}

// known are the parameters of the policy of a name.
func known(name string) (all []parameter, ok bool) {
	switch name {
	case "", "peak_ewma", "least_request", "round_robin", "weighted_round_robin", "random":
		return nil, true
	case "prequal":
		return []parameter{{"probes", 16, false}, {"quantile", 1, false}, {"pool", maxPool, true}, {"remove", 16, false}, {"rate", 1e6, false}}, true
	case "ring_hash":
		return []parameter{{"bound", 100, false}, {"size", 4096, true}}, true
	case "maglev":
		return []parameter{{"bound", 100, false}, {"size", 1 << 22, true}}, true
	}
	return nil, false
}

func parameters(text, name, rest string) (map[string]float64, error) {
	all, ok := known(name)
	if !ok {
		return nil, errs.Invalid.New("there is no balancing policy %q: want one of %s", name, strings.Join(Names(), ", "))
	}
	values := make(map[string]float64)
	if rest == "" {
		return values, nil
	}
	for part := range strings.SplitSeq(rest, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		var p *parameter
		var names []string
		for i := range all {
			names = append(names, all[i].name)
			if all[i].name == key {
				p = &all[i]
			}
		}
		if p == nil {
			return nil, errs.Invalid.New("policy %q: there is no parameter %q: %s has %s", text, key, name, or(strings.Join(names, ", "), "none"))
		}
		x, err := strconv.ParseFloat(value, 64)
		if err != nil || !(x > 0 && x <= p.most) || p.whole && x != math.Trunc(x) {
			return nil, errs.Invalid.New("policy %q: %s must be a %s above 0, at most %g", text, key, p.kind(), p.most)
		}
		values[key] = x
	}
	return values, nil
}

func (p parameter) kind() string {
	if p.whole {
		return "whole number"
	}
	return "number"
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// text is a policy's text, without the parameters that are as usual.
func text(name string, parameters ...string) string {
	said := slices.DeleteFunc(parameters, func(p string) bool { return p == "" })
	if len(said) == 0 {
		return name
	}
	return name + ":" + strings.Join(said, ",")
}

// unless is a parameter's text, or none where it is the usual one.
func unless(name string, x, usual float64) string {
	if x == usual {
		return ""
	}
	return name + "=" + strconv.FormatFloat(x, 'g', -1, 64)
}

// String is "prequal", with its parameters.
func (q *Prequal) String() string {
	c := q.config
	return text("prequal", unless("probes", c.Probes, 3), unless("quantile", c.Quantile, 0.84), unless("pool", float64(c.Pool), maxPool),
		unless("remove", c.Remove, 1), unless("rate", c.Rate, 1000))
}

// String is "ring_hash", with its parameters.
func (h *RingHash) String() string {
	return text("ring_hash", unless("bound", h.config.Bound, 1.25), unless("size", float64(h.config.Size), 160))
}

// String is "maglev", with its parameters.
func (m *Maglev) String() string {
	return text("maglev", unless("bound", m.config.Bound, 1.25), unless("size", float64(m.config.Size), 65537))
}
