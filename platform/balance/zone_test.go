package balance_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/balance"
)

func east() balance.Config { return balance.Config{Zone: balance.Zone{Own: "east"}, SlowStart: -1} }

func TestCallsStayInTheZone(t *testing.T) {
	in(t, east(), func(t *testing.T, w *world) {
		w.up("a@east", "b@west", "c@west")
		count := w.calls(2000, fine)
		require.InDelta(t, 1980, count["a"], 15, "but for the sample that tells how fast the others are")
		require.Equal(t, "east", w.Explain().Zone)
	})
}

func TestCallsLeaveAZoneThatIsGone(t *testing.T) {
	in(t, east(), func(t *testing.T, w *world) {
		w.up("a@east", "b@west")
		w.up("b@west")
		require.Equal(t, map[string]int{"b": 10}, w.calls(10, fine))
		require.Empty(t, w.Explain().Zone)
	})
}

func TestCallsSpillOverWhereTheZoneIsSlowerAndComeBack(t *testing.T) {
	in(t, east(), func(t *testing.T, w *world) {
		w.up("a@east", "b@west")
		slow := time.Millisecond
		run := func(n int) map[string]int {
			count := make(map[string]int)
			for range n {
				f, _ := w.Pick(balance.Call{})
				if f.Peer.ID() == "a" {
					time.Sleep(slow)
				} else {
					time.Sleep(time.Millisecond)
				}
				f.Done(balance.OK)
				count[f.Peer.ID()]++
			}
			return count
		}
		require.Greater(t, run(1000)["a"], 950)
		slow = 50 * time.Millisecond
		require.Less(t, run(1000)["a"], 50)
		require.True(t, w.Explain().Spilling)
		require.Positive(t, w.Explain().Spills)
		slow = time.Millisecond
		run(60000) // its fame fades within the minute
		require.Greater(t, run(1000)["a"], 950)
	})
}

func TestCallsGoEverywhereWhereTooFewOfTheZoneAreFit(t *testing.T) {
	in(t, east(), func(t *testing.T, w *world) {
		w.up("a@east", "b@east", "c@west", "d@west")
		for range 40 {
			w.call(0, failing(balance.Failed, "b"))
		}
		require.Empty(t, w.Explain().Zone, "one of two is not 0.7")
		count := w.calls(90, fine)
		require.InDelta(t, 30, count["c"], 5)
	})
}

func TestNoZoneIsPreferredUnlessAsked(t *testing.T) {
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		w.up("a@east", "b@west")
		require.Equal(t, map[string]int{"a": 10, "b": 10}, w.calls(20, fine))
	})
}
