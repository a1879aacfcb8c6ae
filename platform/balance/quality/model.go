package quality

import (
	"math/rand/v2"
	"slices"
	"time"

	"example.com/app/platform/balance"
)

// A model is an instance as far as balancing goes.
type model struct {
	loop *loop
	rand *rand.Rand

	work    time.Duration // that a call takes
	spread  bool          // exponentially around work
	workers int           // calls that are worked on at a time; 0: all
	fails   float64       // share of calls that fail at once
	silent  bool          // nothing is answered any more

	inFlight, busy, highest int
	queue                   []func()
	recent                  [16]sample // answers, for who asks how busy it is
	answers                 int
}

// A sample is an answer and how many calls were in flight when it came in.
type sample struct {
	inFlight int
	took     time.Duration
}

func newModel(l *loop, r *rand.Rand) *model {
	return &model{loop: l, rand: r, work: 10 * time.Millisecond}
}

// serve answers a call some time, or never.
func (m *model) serve(end func(balance.Outcome)) {
	at, began := m.inFlight, m.loop.now
	m.inFlight++
	m.highest = max(m.highest, m.inFlight)
	take := m.work
	if m.spread {
		take = time.Duration(float64(take) * m.rand.ExpFloat64())
	}
	if m.fails > 0 && m.rand.Float64() < m.fails {
		m.loop.after(100*time.Microsecond, func() { m.inFlight--; end(balance.Failed) })
		return
	}
	start := func() {
		m.busy++
		m.loop.after(take, func() {
			m.busy--
			m.inFlight--
			if m.silent {
				return
			}
			m.recent[m.answers%len(m.recent)] = sample{at, m.loop.now - began}
			m.answers++
			end(balance.OK)
			if len(m.queue) > 0 {
				next := m.queue[0]
				m.queue = m.queue[1:]
				next()
			}
		})
	}
	if m.workers > 0 && m.busy >= m.workers {
		m.queue = append(m.queue, start)
		return
	}
	start()
}

// load is what the instance says of itself: the calls in flight, and the median
// of what recent ones took that came when about as many were.
func (m *model) load() balance.Load {
	return balance.Load{InFlight: m.inFlight, Latency: median(m.recent[:min(m.answers, len(m.recent))], m.inFlight)}
}

func median(recent []sample, inFlight int) time.Duration {
	var near [16]time.Duration
	n := 0
	for _, s := range recent {
		if d := s.inFlight - inFlight; d*d <= max(1, inFlight*inFlight/16) {
			near[n] = s.took
			n++
		}
	}
	if n == 0 {
		for _, s := range recent {
			near[n] = s.took
			n++
		}
	}
	if n == 0 {
		return 0
	}
	slices.Sort(near[:n])
	return near[n/2]
}
