package rpc

import (
	"math"
	"sync/atomic"
	"time"
)

// known is how many calls must have been answered before copies are sent.
const known = 20

// delay is when a copy of a call is sent; 0: not at all, too little is known.
// It is well beyond what one call in twenty exceeds, so that the budget is there
// for calls that are stuck, and no more than five times the median: where one in
// fifteen is a hundred times slower, the 95th percentile is one of those.
func (m *hedged) delay() time.Duration {
	if m.after > 0 {
		return m.after
	}
	if m.spent.calls.Load() < known {
		return 0
	}
	return max(m.floor, time.Duration(min(1.5*m.spent.high.value(), 5*m.spent.middle.value())))
}

// spent is what a method's calls take.
type spent struct {
	calls        atomic.Uint64
	middle, high quantile
}

func (s *spent) hear(took time.Duration) {
	s.calls.Add(1)
	s.middle.hear(float64(took), 0.5)
	s.high.hear(float64(took), 0.95)
}

// atLeast hears of a call that was ended before its answer came. It says
// something only where it had taken long already.
func (s *spent) atLeast(took time.Duration) {
	x := float64(took)
	if x > s.middle.value() {
		s.middle.hear(x, 0.5)
	}
	if x > s.high.value() {
		s.high.hear(x, 0.95)
	}
}

// A quantile follows one of a stream of values: a higher value moves it up a
// bit, a lower one down a bit, in the proportion that keeps the wanted share
// above (frugal streaming, Ma, Muthukrishnan, Sandler 2013). It takes one word
// and no lock; an update that is lost to another one is as good as a sample
// that was not taken.
type quantile struct{ bits atomic.Uint64 }

// nudge is how much one value moves a quantile.
const nudge = 0.1

func (q *quantile) value() float64 { return math.Float64frombits(q.bits.Load()) }

func (q *quantile) hear(x, share float64) {
	v := q.value()
	switch {
	case v == 0:
		v = x
	case x > v:
		v = min(v*(1+nudge*share), x)
	case x < v:
		v = max(v*(1-nudge*(1-share)), x)
	}
	q.bits.Store(math.Float64bits(v))
}
