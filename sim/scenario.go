package sim

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/app/platform/app"
	"example.com/app/sim/fault"
	"example.com/app/sim/load"
	"example.com/app/sim/wire"
)

// A Scenario is a story about a fleet: who is there, what users ask for, what
// goes wrong, and what must hold all the same. But for its name and its checks
// every field has a default.
type Scenario struct {
	Name string // as in `app sim NAME`
	Doc  string // what it is about, in one line

	Roles []app.Role        // nil: those of the program
	Fleet map[string]int    // instances by role; nil: all roles, as many as each says
	Node  func(*app.Config) // changes what all nodes share; nil: nothing
	Zones map[string]string // of hosts; none: no zones
	Link  wire.Link         // between any two hosts; zero: 500 µs, and up to 500 µs more

	Calls    []load.Call   // what users do; nil: what the roles say, in turn
	Arrivals load.Arrivals // when; nil: 20 a second, each independent of the others
	Patience time.Duration // after which users give up; 0 means 10 s

	Duration time.Duration // while faults happen; 0 means 1 min
	Faults   Faults        // nil: none
	Heal     time.Duration // how long it goes on after all is healed; 0 means 20 s
	Recovery time.Duration // how much of that requests may still fail; 0 means 10 s

	// Begin is called before each run, on a copy, for calls and checks that keep
	// something from one to the next. Nil: there are none.
	Begin func(*Scenario)

	// Check says what must hold, beside what always must (see World). It is
	// called once, before the first host starts. Nil: nothing more.
	Check func(*World)
}

// Faults says what goes wrong. It is a function of the draft alone.
type Faults func(Draft) []fault.Fault

// A Draft is what a schedule of faults is made from.
type Draft struct {
	Seed   uint64
	Hosts  []string // of the fleet, in the order of their start
	Within time.Duration
}

// Of is the hosts of some roles.
func (d Draft) Of(roles ...string) []string {
	var all []string
	for _, h := range d.Hosts {
		if slices.Contains(roles, role(h)) {
			all = append(all, h)
		}
	}
	return all
}

// role is the role that a host is named after.
func role(host string) string {
	if i := strings.LastIndexByte(host, '-'); i > 0 {
		return host[:i]
	}
	return host
}

// Script is faults at fixed times, as package fault reads them. A sentence that
// it can't read panics: it is part of a program.
func Script(sentences ...string) Faults {
	var all []fault.Fault
	for _, s := range sentences {
		f, err := fault.Parse(s)
		if err != nil {
			panic(err)
		}
		all = append(all, f)
	}
	fault.Sort(all)
	return func(Draft) []fault.Fault { return slices.Clone(all) }
}

// Swarm is a number of faults drawn from the seed, which also chooses the kinds
// among those given.
func Swarm(count int, kinds ...fault.Kind) Faults {
	return func(d Draft) []fault.Fault {
		return fault.Plan{Count: count, Kinds: kinds, Places: d.Hosts, Within: d.Within}.Draw(d.Seed)
	}
}

// SwarmOn is a Swarm that strikes some roles alone.
func SwarmOn(roles []string, count int, kinds ...fault.Kind) Faults {
	return func(d Draft) []fault.Fault {
		return fault.Plan{Count: count, Kinds: kinds, Places: d.Of(roles...), Within: d.Within}.Draw(d.Seed)
	}
}

// Each is one fault after the other, on every host of a role, from a time on.
func Each(of string, kind fault.Kind, from, every, lasting time.Duration) Faults {
	return func(d Draft) []fault.Fault {
		var all []fault.Fault
		for i, h := range d.Of(of) {
			all = append(all, fault.Fault{At: from + time.Duration(i)*every, Kind: kind, A: h, For: lasting})
		}
		return all
	}
}

// Together is several schedules at once.
func Together(schedules ...Faults) Faults {
	return func(d Draft) []fault.Fault {
		var all []fault.Fault
		for _, s := range schedules {
			all = append(all, s(d)...)
		}
		fault.Sort(all)
		return all
	}
}

// WithDefaults fills in what is not said, for a program with these roles.
func (s Scenario) WithDefaults(roles []app.Role) (Scenario, error) {
	if s.Roles == nil {
		s.Roles = roles
	}
	if s.Fleet == nil {
		s.Fleet = map[string]int{}
		for _, r := range s.Roles {
			if !r.Extra {
				s.Fleet[r.Name] = max(1, r.Replicas)
			}
		}
	}
	for name := range s.Fleet {
		if !slices.ContainsFunc(s.Roles, func(r app.Role) bool { return r.Name == name }) {
			return s, fmt.Errorf("scenario %s: there is no role %q", s.Name, name)
		}
	}
	if s.Link == (wire.Link{}) {
		s.Link = wire.Link{Latency: 500 * time.Microsecond, Jitter: 500 * time.Microsecond}
	}
	if s.Calls == nil {
		s.Calls = load.Of(slices.DeleteFunc(slices.Clone(s.Roles), func(r app.Role) bool { return s.Fleet[r.Name] == 0 }))
	}
	if len(s.Calls) == 0 {
		return s, errors.New("no role says what users ask for: set Load in a Role, or Calls in the scenario")
	}
	if s.Arrivals == nil {
		s.Arrivals = load.Poisson(20)
	}
	s.Patience = cmp.Or(s.Patience, 10*time.Second)
	s.Duration = cmp.Or(s.Duration, time.Minute)
	s.Heal = cmp.Or(s.Heal, 20*time.Second)
	s.Recovery = cmp.Or(s.Recovery, 10*time.Second)
	return s, nil
}

// Hosts are the hosts of the fleet in the order of their start, which is the
// opposite of that of the roles: who is called before who calls.
func (s Scenario) Hosts() []string {
	var all []string
	for _, r := range slices.Backward(s.Roles) {
		for i := range s.Fleet[r.Name] {
			all = append(all, fmt.Sprintf("%s-%d", r.Name, i+1))
		}
	}
	return all
}

// Draw is the schedule that a seed gives. The scenario must have its defaults.
func (s Scenario) Draw(seed uint64) []fault.Fault {
	if s.Faults == nil {
		return nil
	}
	return s.Faults(Draft{Seed: seed, Hosts: s.Hosts(), Within: s.Duration})
}
