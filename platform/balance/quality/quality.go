// Package quality measures how well policies balance, in virtual time and
// exactly: picks are real, everything else is counted.
//
// A run is one loop over events. Instances are models (workers, queues, faults,
// what a probe would tell), time jumps from event to event, and all randomness
// comes from one seed, so that every entrant meets the same calls at the same
// times and a run gives the same figures wherever it runs. What keeps time by
// itself, as some other people's policies do, is run in a synctest bubble with
// Config.Sleep: the two times then go together.
package quality

import (
	"math/rand/v2"
	"slices"
	"time"

	"example.com/app/platform/balance"
)

// An Entrant picks instances for one client.
type Entrant interface {
	// Update tells which instances there are, by number, and in which zones.
	Update(set []Instance)
	// Pick returns one of them, and what to call when the call has ended, with
	// the load that the instance told. It returns -1 where it finds none.
	Pick() (instance int, done func(balance.Outcome, balance.Load))
}

// An Instance is who can be called, as the registry tells it.
type Instance struct {
	Number int
	Zone   string
}

// A Maker makes entrants of one kind.
type Maker struct {
	Name string
	New  func(Ground) Entrant
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
// Makers is its default.
type Config struct {
	Scenario  Scenario
	Instances int // 0 means 3
	Maker     Maker
	Calls     int    // 0 means what the scenario says
	Seed      uint64 // 0 means 1
	Sleep     func(time.Duration)
}

// A Result is what became of the calls of one run. Times are those of the calls
// that were answered.
type Result struct {
	Entrant, Scenario string
	Instances         int

	Calls, Lost         int // lost: failed, or not answered in time
	Bad                 int // calls that reached the bad instance, as long as it was bad
	During              int // calls that were sent as long as there was one
	P50, P90, P99, P999 time.Duration
	Highest             int // calls in flight at one instance, the good ones alone
}

// Share is the part of the calls that reached the bad instance, in percent.
func (r Result) Share() float64 { return 100 * float64(r.Bad) / float64(max(r.During, 1)) }

// timeout is when a call is given up.
const timeout = 5 * time.Second

// Run runs one entrant through one scenario.
func Run(c Config) Result {
	r := newRun(c)
	c.Scenario.prepare(r)
	r.arrive(c.Scenario)
	r.loop.until(never)
	slices.Sort(r.took)
	at := func(p float64) time.Duration {
		if len(r.took) == 0 {
			return timeout
		}
		return r.took[int(p*float64(len(r.took)-1))]
	}
	r.result.P50, r.result.P90, r.result.P99, r.result.P999 = at(0.5), at(0.9), at(0.99), at(0.999)
	for i, m := range r.models {
		if i != 0 || !r.everBad {
			r.result.Highest = max(r.result.Highest, m.highest)
		}
	}
	return r.result
}

// A run is one entrant in one scenario.
type run struct {
	loop    *loop
	rand    *rand.Rand // of the calls: arrivals and what they take
	probes  *rand.Rand // of the probes, so that they leave the calls alone
	models  []*model
	entrant Entrant
	listed  []Instance
	calls   int
	bad     bool // instance 0 is bad now
	everBad bool
	took    []time.Duration
	result  Result
}

func newRun(c Config) *run {
	n, seed := max(c.Instances, 1), max(c.Seed, 1)
	if c.Instances == 0 {
		n = 3
	}
	r := &run{loop: &loop{sleep: c.Sleep}, rand: rand.New(rand.NewPCG(seed, 1)), probes: rand.New(rand.NewPCG(seed, 2))}
	r.result = Result{Entrant: c.Maker.Name, Scenario: c.Scenario.Name, Instances: n}
	r.calls = c.Calls
	if r.calls == 0 {
		r.calls = c.Scenario.calls(n)
	}
	for i := range n {
		r.models = append(r.models, newModel(r.loop, r.rand))
		r.listed = append(r.listed, Instance{Number: i})
	}
	r.entrant = c.Maker.New(Ground{Seed: seed, Now: r.loop.time, Zone: c.Scenario.zone, Ask: r.ask})
	return r
}

// probeTrip is how long a probe takes, there and back.
const probeTrip = 300 * time.Microsecond

func (r *run) ask(instance int, told func(balance.Load)) {
	trip := probeTrip + time.Duration(r.probes.IntN(int(probeTrip)))
	r.loop.after(trip, func() {
		if !r.models[instance].silent {
			told(r.models[instance].load())
		}
	})
}

// list tells the entrant who is there.
func (r *run) list(set []Instance) {
	r.listed = set
	r.entrant.Update(set)
}

// arrive sends the calls, whatever becomes of the answers.
func (r *run) arrive(s Scenario) {
	r.entrant.Update(r.listed)
	sent := 0
	var next func()
	next = func() {
		if sent++; sent > r.calls {
			return
		}
		r.call()
		gap := float64(time.Second) / s.rate(r, r.loop.now)
		if s.poisson {
			gap *= r.rand.ExpFloat64()
		}
		r.loop.after(time.Duration(gap), next)
	}
	r.loop.after(time.Millisecond, next)
}

// call sends one call.
func (r *run) call() {
	r.result.Calls++
	to, done := r.entrant.Pick()
	if r.bad {
		r.result.During++
	}
	if to < 0 {
		r.result.Lost++
		return
	}
	if r.bad && to == 0 {
		r.result.Bad++
	}
	m := r.models[to]
	r.send(m, func(took time.Duration, o balance.Outcome) {
		if o == balance.OK {
			r.took = append(r.took, took)
		} else {
			r.result.Lost++
		}
		done(o, m.load())
	})
}

// send gives a call to an instance, and tells how it ended: by its answer, or
// because it took too long.
func (r *run) send(m *model, ended func(time.Duration, balance.Outcome)) {
	began, over := r.loop.now, false
	end := func(o balance.Outcome) {
		if !over {
			over = true
			ended(r.loop.now-began, o)
		}
	}
	m.serve(end)
	r.loop.after(timeout, func() { end(balance.Failed) })
}
