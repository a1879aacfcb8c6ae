package load

import (
	"iter"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// A Knob is a rate that can be turned while a load runs. Its methods may be
// called from many goroutines.
type Knob struct{ bits atomic.Uint64 }

// NewKnob returns one that stands at so many calls a second.
func NewKnob(rate float64) *Knob {
	k := new(Knob)
	k.Turn(rate)
	return k
}

// Turn sets the rate, in calls per second. The next call is due as the rate
// before said.
func (k *Knob) Turn(rate float64) { k.bits.Store(math.Float64bits(rate)) }

// Rate is where it stands.
func (k *Knob) Rate() float64 { return math.Float64frombits(k.bits.Load()) }

// Arrivals are at equal distances, as the knob says at the time.
func (k *Knob) Arrivals() Arrivals {
	return func(*rand.Rand) iter.Seq[time.Duration] {
		return func(yield func(time.Duration) bool) {
			from, rate := 0.0, k.Rate()
			for n := 0; ; n++ {
				due := from + float64(n)/rate
				if !yield(time.Duration(due * float64(time.Second))) {
					return
				}
				if now := k.Rate(); now != rate {
					from, rate, n = due+1/rate-1/now, now, 0
				}
			}
		}
	}
}
