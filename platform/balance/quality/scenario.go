package quality

import (
	"slices"
	"time"
)

// A Scenario is a bad case. Prepare plans what happens in it.
type Scenario struct {
	Name, Doc string
	Shares    bool // the share of the bad instance is what counts
	Losses    bool // lost calls are

	poisson bool
	zone    string // the client's
	calls   func(n int) int
	rate    func(r *run, now time.Duration) float64 // calls per second
	prepare func(r *run)
}

func always(n int) func(int) int { return func(int) int { return n } }

// steady is 200 calls a second, whoever answers.
func steady(*run, time.Duration) float64 { return 200 }

// each is so many calls a second for each instance.
func each(perInstance float64) func(*run, time.Duration) float64 {
	return func(r *run, _ time.Duration) float64 { return perInstance * float64(len(r.models)) }
}

// worse makes instance 0 bad.
func (r *run) worse(change func(*model)) {
	r.bad, r.everBad = true, true
	change(r.models[0])
}

func slow(m *model) { m.work = time.Second }

// limited gives all instances two workers, whose work varies.
func (r *run) limited() {
	for _, m := range r.models {
		m.workers, m.spread = 2, true
	}
}

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
				r.loop.after(2*time.Second, func() { r.worse(func(m *model) { m.silent = true }) })
			}},
		{Name: "zone loss", Doc: "after 5 s the client's zone stops answering; the registry notices 3 s later", Losses: true, zone: "near",
			calls: always(2000), rate: steady, prepare: zoneLoss},
		{Name: "mixed", Doc: "every second instance is three times slower, at half of the capacity", poisson: true,
			calls: func(n int) int { return 1000 * n }, rate: each(66), prepare: mixed},
		{Name: "busy", Doc: "equal instances, at 85 % of the capacity", poisson: true,
			calls: func(n int) int { return 1000 * n }, rate: each(170), prepare: (*run).limited},
		{Name: "new instance", Doc: "one joins after 5 s, ten times slower for its first 2 s", poisson: true,
			calls: func(n int) int { return 1000 * n }, rate: each(100), prepare: newcomer},
		{Name: "flash crowd", Doc: "five times the calls within a second, up to 90 % of the capacity", poisson: true,
			calls: func(n int) int { return 1000 * n }, rate: crowd, prepare: (*run).limited},
	}
}

// churn adds and removes a good instance all the time.
func churn(r *run) {
	r.worse(slow)
	without := r.listed
	with := append(slices.Clone(without), Instance{Number: len(r.models)})
	r.models = append(r.models, newModel(r.loop, r.rand))
	there := false
	var flip func()
	flip = func() {
		if r.result.Calls >= r.calls {
			return
		}
		if there = !there; there {
			r.list(with)
		} else {
			r.list(without)
		}
		r.loop.after(250*time.Millisecond, flip)
	}
	r.loop.after(250*time.Millisecond, flip)
}

func correlated(r *run) {
	r.loop.after(2*time.Second, func() {
		for _, m := range r.models {
			m.work *= 5
		}
	})
	r.loop.after(4*time.Second, func() {
		for _, m := range r.models {
			m.work /= 5
		}
		r.worse(slow)
	})
}

// zoneLoss has every second instance in the client's zone.
func zoneLoss(r *run) {
	var far []Instance
	for i := range r.listed {
		if i%2 == 0 {
			r.listed[i].Zone = "near"
		} else {
			r.listed[i].Zone = "far"
			far = append(far, r.listed[i])
		}
	}
	r.loop.after(5*time.Second, func() {
		for i, m := range r.models {
			m.silent = i%2 == 0
		}
	})
	r.loop.after(8*time.Second, func() { r.list(far) })
}

func mixed(r *run) {
	r.limited()
	for i, m := range r.models {
		if i%2 == 1 {
			m.work *= 3
		}
	}
}

func newcomer(r *run) {
	r.limited()
	all := r.listed
	last := r.models[len(r.models)-1]
	if len(all) > 1 {
		r.listed = all[:len(all)-1]
	}
	usual := last.work
	r.loop.after(5*time.Second, func() {
		last.work = 10 * usual
		r.list(all)
	})
	r.loop.after(7*time.Second, func() { last.work = usual })
}

// crowd is 36 calls a second for each instance, and 180 from the third second
// on.
func crowd(r *run, now time.Duration) float64 {
	grown := min(max(0, float64(now-2*time.Second)/float64(time.Second)), 1)
	return (36 + 144*grown) * float64(len(r.models))
}
