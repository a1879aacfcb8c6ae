package quality

import (
	"math/rand/v2"
	"time"

	"example.com/app/platform/balance"
)

// A run is entrants of one kind in one scenario.
type run struct {
	loop    *loop
	seed    uint64
	rand    *rand.Rand // of the calls: who sends them, when, and what they take
	probes  *rand.Rand // of the probes, so that they leave the calls alone
	models  []*model
	clients []Entrant
	listed  []Instance
	warm    time.Duration  // when the scenario begins
	bad     func(int) bool // tells the bad instances; nil: there are none now
	tally   *tally         // of the calls that are sent now; nil: they don't count
}

func newRun(c Config) *run {
	seed := max(c.Seed, 1)
	r := &run{
		loop: &loop{sleep: c.Sleep}, warm: c.Maker.Warm, seed: seed,
		rand: rand.New(rand.NewPCG(seed, 1)), probes: rand.New(rand.NewPCG(seed, 2)),
	}
	for i := range c.Instances {
		r.models = append(r.models, newModel(r.loop, r.rand))
		r.listed = append(r.listed, Instance{Number: i})
	}
	if c.Scenario.found != nil {
		c.Scenario.found(r)
	}
	for i := range max(c.Scenario.clients, 1) {
		r.clients = append(r.clients, c.Maker.New(Ground{
			Seed: seed + uint64(i)<<32, Now: r.loop.time, Zone: c.Scenario.zone, Ask: r.ask,
		}))
	}
	r.after(0, func() { r.tally = newTally(c) })
	return r
}

// close ends what entrants keep running.
func (r *run) close() {
	for _, c := range r.clients {
		if c, ok := c.(interface{ Close() }); ok {
			c.Close()
		}
	}
}

// after plans something for a time in the scenario.
func (r *run) after(d time.Duration, f func()) { r.loop.after(r.warm+d-r.loop.now, f) }

// probeTrip is how long a probe takes, there and back.
const probeTrip = 300 * time.Microsecond

func (r *run) ask(instance int, told func(balance.Load)) {
	trip := probeTrip + time.Duration(r.probes.IntN(int(probeTrip)))
	r.loop.after(trip, func() {
		if m := r.models[instance]; !m.silent && !m.refuses {
			told(m.load())
		}
	})
}

// update tells the clients who is there.
func (r *run) update(set []Instance) {
	r.listed = set
	for _, c := range r.clients {
		c.Update(set)
	}
}

// Arrivals are when calls are sent, whatever becomes of the ones before.
type arrivals struct {
	poisson bool
	rate    func() float64 // a second, just now
	more    func() bool    // before each call that counts
}

func (r *run) arrive(a arrivals) {
	var next func()
	next = func() {
		if r.tally != nil && !a.more() {
			return
		}
		r.call()
		gap := float64(time.Second) / a.rate()
		if a.poisson {
			gap *= r.rand.ExpFloat64()
		}
		r.loop.after(max(1, time.Duration(gap)), next)
	}
	r.loop.after(time.Millisecond, next)
}

// call sends one call.
func (r *run) call() {
	t, client := r.tally, r.clients[0]
	if len(r.clients) > 1 {
		client = r.clients[r.rand.IntN(len(r.clients))]
	}
	if t == nil {
		t = &tally{}
	}
	to, done := client.Pick()
	t.Calls++
	if r.bad != nil {
		t.During++
	}
	if to < 0 {
		t.Lost++
		return
	}
	if r.bad != nil && r.bad(to) {
		t.Bad++
	}
	m := r.models[to]
	r.send(m, func(took time.Duration, o balance.Outcome) {
		if o != balance.OK {
			t.Lost++
		}
		if o == balance.OK || took >= Patience {
			t.took = append(t.took, took)
		}
		done(o, m.report())
	})
}

// send gives a call to an instance, and tells how it ended: by its answer, or
// because it took too long, which ends the work on it.
func (r *run) send(m *model, ended func(time.Duration, balance.Outcome)) {
	began, over := r.loop.now, false
	end := func(o balance.Outcome) {
		over = true
		ended(r.loop.now-began, o)
	}
	off := m.serve(end)
	r.loop.after(Patience, func() {
		if !over {
			off()
			end(balance.Failed)
		}
	})
}
