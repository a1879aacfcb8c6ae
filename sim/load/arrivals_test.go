package load_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/sim/load"
)

// until lists the arrivals before an end.
func until(end time.Duration, a load.Arrivals, seed uint64) []time.Duration {
	var all []time.Duration
	for t := range a(rand.New(rand.NewPCG(seed, 0))) {
		if t >= end {
			break
		}
		all = append(all, t)
	}
	return all
}

// between counts arrivals.
func between(all []time.Duration, from, to time.Duration) (n int) {
	for _, t := range all {
		if t >= from && t < to {
			n++
		}
	}
	return n
}

func TestArrivalsKeepTheirRate(t *testing.T) {
	const minute = time.Minute
	for name, c := range map[string]struct {
		arrivals    load.Arrivals
		first, last int // in the first and the last half minute
	}{
		"steady":  {load.Steady(100), 3000, 3000},
		"poisson": {load.Poisson(100), 3000, 3000},
		"ramp":    {load.Ramp(0, 200, minute), 1500, 4500},
		"flash":   {load.Flash(20, 400, 30*time.Second, 10*time.Second), 600, 4400},
	} {
		all := until(minute, c.arrivals, 3)
		require.True(t, slices.IsSorted(all), name)
		require.InDelta(t, c.first, between(all, 0, minute/2), 200, name)
		require.InDelta(t, c.last, between(all, minute/2, minute), 250, name)
		require.Equal(t, all, until(minute, c.arrivals, 3), name)
		if name != "steady" {
			require.NotEqual(t, all, until(minute, c.arrivals, 4), name)
		}
	}
}

func TestRecordedArrivalsAreThoseOfTheRecording(t *testing.T) {
	times := []time.Duration{0, 5, 5, 1000}
	require.Equal(t, times, until(time.Hour, load.Recorded(times), 1))
}

func TestAKnobTurnsTheRate(t *testing.T) {
	k := load.NewKnob(100)
	var all []time.Duration
	for t := range k.Arrivals()(nil) {
		if t >= 10*time.Second {
			k.Turn(10)
		}
		if t >= 20*time.Second {
			break
		}
		all = append(all, t)
	}
	require.True(t, slices.IsSorted(all))
	require.Equal(t, 1000, between(all, 0, 10*time.Second))
	require.InDelta(t, 100, between(all, 10*time.Second, 20*time.Second), 1)
	require.InDelta(t, 10, k.Rate(), 0)
}
