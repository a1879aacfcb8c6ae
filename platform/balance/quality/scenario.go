package quality

import (
	"math/rand/v2"
	"slices"
	"time"
)

// A Scenario is a bad case.
type Scenario struct {
	Name, Doc string
	Shares    bool // the share of the bad instance is what counts
	Losses    bool // lost calls are

	poisson bool
	zone    string // the clients'
	clients int    // 0 means 1
	calls   func(n int) int
	rate    func(n int, now time.Duration) float64 // calls per second
	found   func(r *run)                           // what is so before the scenario begins; nil: instances take 10 ms
	prepare func(r *run)                           // what happens in it
}

func always(n int) func(int) int { return func(int) int { return n } }

func times(perInstance int) func(int) int { return func(n int) int { return perInstance * n } }

// steady is 200 calls a second, whoever answers.
func steady(int, time.Duration) float64 { return 200 }

// each is so many calls a second for each instance.
func each(perInstance float64) func(int, time.Duration) float64 {
	return func(n int, _ time.Duration) float64 { return perInstance * float64(n) }
}

// worse makes the first instance bad.
func (r *run) worse(change func(*model)) {
	r.bad = func(i int) bool { return i == 0 }
	r.models[0].change(change)
}

func slow(m *model) { m.work = time.Second }

// limited gives all instances two processors, and calls that take more or less.
func limited(r *run) {
	for _, m := range r.models {
		m.processors, m.granted, m.spread = 2, 2, (*rand.Rand).ExpFloat64
	}
}

func nothing(*run) {}

// Scenarios are the bad cases, in the order of the table.
func Scenarios() []Scenario {
	return []Scenario{
		{Name: "slow", Doc: "one instance takes 1 s, the others 10 ms", Shares: true, calls: always(2000), rate: steady,
			prepare: func(r *run) { r.worse(slow) }},
		{Name: "churn", Doc: "the same, and the list changes every 250 ms", Shares: true, calls: always(2000), rate: steady,
			prepare: churn},
		{Name: "fail-fast", Doc: "one instance fails at once", Shares: true, calls: always(2000), rate: steady,
			prepare: func(r *run) { r.worse(func(m *model) { m.fails = 1 }) }},
		{Name: "half sick", Doc: "one instance fails every second call at once", Shares: true, calls: always(2000), rate: steady,
			prepare: func(r *run) { r.worse(func(m *model) { m.fails = 0.5 }) }},
		{Name: "correlated", Doc: "all take five times as long for 2 s, then one remains slow", Shares: true, calls: always(2000), rate: steady,
			prepare: correlated},
		{Name: "hang", Doc: "one instance stops answering after 2 s", Losses: true, calls: always(2000), rate: steady,
			prepare: func(r *run) {
				r.after(2*time.Second, func() { r.worse(func(m *model) { m.silent = true }) })
			}},
		{Name: "zone hangs", Doc: "after 5 s the client's zone stops answering; the registry notices 3 s later", Losses: true, zone: "near",
			calls: always(2000), rate: steady, found: zones, prepare: zoneLoss(func(m *model) { m.silent = true })},
		{Name: "zone refuses", Doc: "after 5 s the client's zone refuses connections; the registry notices 3 s later", Losses: true, zone: "near",
			calls: always(2000), rate: steady, found: zones, prepare: zoneLoss(func(m *model) { m.refuses = true })},
		{Name: "mixed", Doc: "every second instance is three times slower, at half of the capacity", poisson: true,
			calls: times(1000), rate: each(66), found: mixed, prepare: func(r *run) { r.bad = odd }},
		{Name: "busy", Doc: "equal instances, at 85 % of the capacity", poisson: true,
			calls: times(1000), rate: each(170), found: limited, prepare: nothing},
		{Name: "new instance", Doc: "one joins after 5 s, ten times slower for its first 2 s; its share of its first second", poisson: true,
			calls: times(1000), rate: each(75), found: newcomer, prepare: joins},
		{Name: "flash crowd", Doc: "five times the calls within a second, up to 90 % of the capacity", poisson: true,
			calls: times(1000), rate: crowd, found: limited, prepare: nothing},
	}
}

// churn adds and removes a good instance all the time.
func churn(r *run) {
	r.worse(slow)
	without := r.listed
	with := append(slices.Clone(without), Instance{Number: len(r.models)})
	r.models = append(r.models, newModel(r.loop, r.rand))
	for i := 1; i <= 40; i++ {
		r.after(time.Duration(i)*250*time.Millisecond, func() {
			if i%2 == 1 {
				r.update(with)
			} else {
				r.update(without)
			}
		})
	}
}

func correlated(r *run) {
	r.after(2*time.Second, func() {
		for _, m := range r.models {
			m.change(func(m *model) { m.work *= 5 })
		}
	})
	r.after(4*time.Second, func() {
		for _, m := range r.models {
			m.change(func(m *model) { m.work /= 5 })
		}
		r.worse(slow)
	})
}

// zones has every second instance in the client's zone.
func zones(r *run) {
	for i := range r.listed {
		r.listed[i].Zone = [...]string{"near", "far"}[i%2]
	}
}

func zoneLoss(change func(*model)) func(*run) {
	return func(r *run) {
		r.after(5*time.Second, func() {
			for i, m := range r.models {
				if !odd(i) {
					m.change(change)
				}
			}
			r.bad = func(i int) bool { return !odd(i) }
		})
		r.after(8*time.Second, func() {
			r.update(slices.DeleteFunc(slices.Clone(r.listed), func(in Instance) bool { return in.Zone == "near" }))
		})
	}
}

func odd(i int) bool { return i%2 == 1 }

func mixed(r *run) {
	limited(r)
	for i, m := range r.models {
		if odd(i) {
			m.work *= 3
		}
	}
}

// newcomer leaves the last instance out at first.
func newcomer(r *run) {
	limited(r)
	r.listed = r.listed[:max(1, len(r.listed)-1)]
}

func joins(r *run) {
	last := len(r.models) - 1
	m := r.models[last]
	was := m.work
	r.after(5*time.Second, func() {
		m.work = 10 * was
		r.update(append(slices.Clone(r.listed), Instance{Number: last}))
		r.bad = func(i int) bool { return i == last }
	})
	r.after(6*time.Second, func() { r.bad = nil })
	r.after(7*time.Second, func() { m.work = was })
}

// crowd is 36 calls a second for each instance, and 180 from the third second
// on.
func crowd(n int, now time.Duration) float64 {
	grown := min(max(0, float64(now-2*time.Second)/float64(time.Second)), 1)
	return (36 + 144*grown) * float64(n)
}
