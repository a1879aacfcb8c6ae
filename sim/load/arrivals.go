package load

import (
	"iter"
	"math"
	"math/rand/v2"
	"time"
)

// Arrivals are the times at which calls are due, since the load began, in order.
// They draw from r alone.
type Arrivals func(r *rand.Rand) iter.Seq[time.Duration]

// Steady is so many calls a second at equal distances.
func Steady(rate float64) Arrivals {
	return func(*rand.Rand) iter.Seq[time.Duration] {
		return func(yield func(time.Duration) bool) {
			for i := 0; yield(time.Duration(float64(i) / rate * float64(time.Second))); i++ {
			}
		}
	}
}

// Poisson is so many calls a second on average, each independent of the others.
func Poisson(rate float64) Arrivals {
	return Varying(rate, func(time.Duration) float64 { return rate })
}

// Ramp goes from one rate to another in a time, and stays there.
func Ramp(from, to float64, in time.Duration) Arrivals {
	return Varying(max(from, to), func(t time.Duration) float64 {
		return from + (to-from)*min(1, t.Seconds()/in.Seconds())
	})
}

// Flash is a steady crowd that becomes another for a while.
func Flash(rate, peak float64, at, lasting time.Duration) Arrivals {
	return Varying(max(rate, peak), func(t time.Duration) float64 {
		if t >= at && t < at+lasting {
			return peak
		}
		return rate
	})
}

// Recorded is calls at the times of a recording.
func Recorded(times []time.Duration) Arrivals {
	return func(*rand.Rand) iter.Seq[time.Duration] {
		return func(yield func(time.Duration) bool) {
			for _, t := range times {
				if !yield(t) {
					return
				}
			}
		}
	}
}

// Varying is a Poisson process whose rate changes with time and never exceeds
// most (thinning, Lewis and Shedler 1979).
func Varying(most float64, rate func(time.Duration) float64) Arrivals {
	return func(r *rand.Rand) iter.Seq[time.Duration] {
		return func(yield func(time.Duration) bool) {
			t := 0.0
			for {
				t += r.ExpFloat64() / most
				at := time.Duration(min(t*float64(time.Second), math.MaxInt64/2))
				if r.Float64()*most < rate(at) && !yield(at) {
					return
				}
				if at == math.MaxInt64/2 {
					return
				}
			}
		}
	}
}
