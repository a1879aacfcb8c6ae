// Package quality measures how well policies balance, in virtual time and
// exactly: picks are real, everything else is counted.
//
// A run is one loop over events. Instances are models (processors, queues,
// faults, what a probe would tell), time jumps from event to event, and all
// randomness comes from one seed, so that every entrant meets the same calls at
// the same times and a run repeated gives the same figures. What keeps time by
// itself, as some other people's policies do, is run in a synctest bubble with
// Config.Sleep: the two times then go together.
//
//	Scenarios  the bad cases: slow, failing, hanging, new instances
//	Run        one entrant in one of them
//	Ramp       many clients and servers, more and more load, as in the Prequal paper
package quality

import (
	"slices"
	"time"

	"example.com/app/platform/balance"
)

// An Entrant picks instances for one client. What also has a method Close is
// closed after the run.
type Entrant interface {
	// Update tells which instances there are, by number, and in which zones.
	Update(set []Instance)
	// Pick returns one of them, and what to call when the call has ended, with
	// what the instance told of itself. It returns -1 where it finds none.
	Pick() (instance int, done func(balance.Outcome, Report))
}

// An Instance is who can be called, as the registry tells it.
type Instance struct {
	Number int
	Zone   string
}

// A Report is what an instance tells of itself with an answer.
type Report struct {
	Load          balance.Load
	Utilisation   float64 // processors in use, of those that it was granted
	Calls, Failed float64 // a second
}

// A Maker makes entrants of one kind.
type Maker struct {
	Name string
	New  func(Ground) Entrant
	Warm time.Duration // calls are sent for so long before a scenario begins
}

// A Ground is what an entrant may know of the run.
type Ground struct {
	Seed uint64
	Now  func() time.Duration
	Zone string // the client's own
	// Ask asks an instance for its load, which is told some time later.
	Ask func(instance int, told func(balance.Load))
}

// A Config says what to run. The zero value of everything but Scenario and
// Maker is its default.
type Config struct {
	Scenario  Scenario
	Maker     Maker
	Instances int    // 0 means 3, and 100 for Ramp, which has as many clients
	Calls     int    // 0 means what the scenario says
	Seed      uint64 // 0 means 1
	Sleep     func(time.Duration)
}

// A Result is what became of the calls of one run.
type Result struct {
	Entrant, Scenario string
	Instances         int
	Offered           float64 // the load of a step of the ramp, in parts of what the instances are granted

	Calls, Lost int // lost: failed, or not answered in time
	Bad         int // calls that reached a bad instance, as long as it was bad
	During      int // calls that were sent as long as there was one
	Highest     int // calls in flight at one instance

	// What answers took; a call that was given up counts with the time until
	// then, one that failed at once does not count.
	P50, P90, P99, P999 time.Duration
}

// Share is the part of the calls that reached a bad instance, in percent.
func (r Result) Share() float64 { return 100 * float64(r.Bad) / float64(max(r.During, 1)) }

// Patience is when a call is given up.
const Patience = 5 * time.Second

// Run runs one entrant through one scenario.
func Run(c Config) Result {
	if c.Instances == 0 {
		c.Instances = 3
	}
	r := newRun(c)
	defer r.close()
	r.after(0, func() { c.Scenario.prepare(r) })
	r.update(r.listed)
	left := c.Calls
	if left == 0 {
		left = c.Scenario.calls(c.Instances)
	}
	r.arrive(arrivals{
		poisson: c.Scenario.poisson,
		rate:    func() float64 { return c.Scenario.rate(c.Instances, max(0, r.loop.now-r.warm)) },
		more:    func() bool { left--; return left >= 0 },
	})
	r.loop.until(never)
	return r.tally.result(r)
}

// A tally counts calls.
type tally struct {
	Result
	took []time.Duration
}

func newTally(c Config) *tally {
	return &tally{Result: Result{Entrant: c.Maker.Name, Scenario: c.Scenario.Name, Instances: c.Instances}}
}

func (t *tally) result(r *run) Result {
	slices.Sort(t.took)
	at := func(p float64) time.Duration {
		if len(t.took) == 0 {
			return Patience
		}
		return t.took[int(p*float64(len(t.took)-1))]
	}
	t.P50, t.P90, t.P99, t.P999 = at(0.5), at(0.9), at(0.99), at(0.999)
	for _, m := range r.models {
		t.Highest = max(t.Highest, m.highest)
	}
	return t.Result
}
