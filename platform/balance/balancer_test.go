package balance_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/policy"
	"example.com/app/platform/registry"
)

func TestNobodyIsPickedWhereNobodyCanBeReached(t *testing.T) {
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		_, ok := w.Pick(balance.Call{})
		require.False(t, ok)
		w.up("a")
		require.Equal(t, "a", w.call(0, fine))
		w.up()
		_, ok = w.Pick(balance.Call{})
		require.False(t, ok)
	})
}

func TestWhatIsKnownOutlivesTheList(t *testing.T) {
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		w.up("a", "b")
		for range 2 {
			w.call(time.Second, failing(balance.Failed, "b"))
		}
		before := w.row("b")
		require.NotEqual(t, 1.0, before.Success)
		w.up("a", "b", "c")
		require.Equal(t, before, w.row("b"), "a neighbour came")
		w.up("a")
		w.up("a", "b")
		require.Equal(t, before, w.row("b"), "it went and came back")
		w.up("a")
		time.Sleep(5*time.Minute + time.Second)
		w.up("a", "c")
		w.up("a", "b")
		require.Zero(t, w.row("b").Calls, "after Keep it is another one")
	})
}

func TestACallInFlightEndsForAnInstanceThatHasGone(t *testing.T) {
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		w.up("a")
		f, _ := w.Pick(balance.Call{})
		w.up("b")
		f.Done(balance.OK)
		w.up("a", "b")
		require.Zero(t, w.row("a").InFlight)
	})
}

func TestCallsInFlightAreCountedUntilDone(t *testing.T) {
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		w.up("a")
		f, _ := w.Pick(balance.Call{})
		g, _ := w.Pick(balance.Call{Long: true})
		require.Equal(t, 2, w.row("a").InFlight)
		time.Sleep(10 * time.Millisecond)
		f.Answer(balance.OK)
		require.Equal(t, 2, w.row("a").InFlight, "its body is still read")
		require.Equal(t, 10*time.Millisecond, w.row("a").Latency)
		f.Done(balance.Failed)
		require.Less(t, w.row("a").Success, 1.0, "it had been answered, but not to the end")
		g.Done(balance.GivenUp)
		require.Zero(t, w.row("a").InFlight)
	})
}

func TestLatencyFollowsASlowAnswerQuicklyAndAFastOneSlowly(t *testing.T) {
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		w.up("a")
		w.call(10*time.Millisecond, fine)
		w.call(500*time.Millisecond, fine)
		slow := w.row("a").Latency
		require.InDelta(t, 0.3*490+10, slow.Seconds()*1000, 15)
		w.call(10*time.Millisecond, fine)
		after := w.row("a").Latency
		require.InDelta(t, 0.9, after.Seconds()/slow.Seconds(), 0.02)
		w.calls(100, fine)
		require.Less(t, w.row("a").Latency, 20*time.Millisecond)
	})
}

func TestACallThatIsNotAnsweredCountsAsItGrowsOld(t *testing.T) {
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		w.up("a")
		w.call(10*time.Millisecond, fine)
		f, _ := w.Pick(balance.Call{})
		time.Sleep(3 * time.Second)
		require.Equal(t, 3*time.Second, w.row("a").Latency)
		f.Done(balance.GivenUp)
		require.Greater(t, w.row("a").Latency, 900*time.Millisecond, "it took at least that")
		require.Equal(t, 1.0, w.row("a").Success, "and nothing says that it failed")
	})
}

func TestAStreamSaysNothingOfLatency(t *testing.T) {
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		w.up("a")
		w.call(10*time.Millisecond, fine)
		before := w.row("a").Latency
		f, _ := w.Pick(balance.Call{Long: true})
		time.Sleep(time.Second)
		require.LessOrEqual(t, w.row("a").Latency, before)
		f.Done(balance.OK)
		require.LessOrEqual(t, w.row("a").Latency, before)
	})
}

func TestAFailureIsNoSignOfSpeed(t *testing.T) {
	in(t, balance.Config{Eject: balance.Ejection{Off: true}}, func(t *testing.T, w *world) {
		w.up("a")
		w.call(10*time.Millisecond, fine)
		cost := w.row("a").Cost
		for range 10 {
			w.call(time.Millisecond, failing(balance.Failed, "a"))
		}
		require.InDelta(t, 10, w.row("a").Latency.Seconds()*1000, 0.1)
		require.Greater(t, w.row("a").Cost, 100*cost)
	})
}

func TestNobodyIsAvoidedForEver(t *testing.T) {
	in(t, balance.Config{Policy: policy.PeakEWMA{}}, func(t *testing.T, w *world) {
		w.up("a", "b")
		took := map[string]time.Duration{"a": 10 * time.Millisecond, "b": time.Second}
		count := make(map[string]int)
		for began := time.Now(); time.Since(began) < 10*time.Minute; {
			f, _ := w.Pick(balance.Call{})
			count[f.Peer.ID()]++
			time.Sleep(took[f.Peer.ID()])
			f.Done(balance.OK)
		}
		require.Greater(t, count["b"], 5, "it is tried again")
		require.Less(t, count["b"], 60, "now and then")
	})
}

func TestACallIsNotSentTwiceToOneInstance(t *testing.T) {
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		w.up("a", "b", "c")
		call := balance.Call{}
		seen := make(map[string]bool)
		for range 3 {
			f, ok := w.Pick(call)
			require.True(t, ok)
			seen[f.Peer.ID()] = true
			call.Avoid = append(call.Avoid, f.Peer.ID())
			f.Done(balance.OK)
		}
		require.Len(t, seen, 3)
		_, ok := w.Pick(call)
		require.False(t, ok)
	})
}

func TestNewInstancesComeToTheirShareSlowly(t *testing.T) {
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		w.up("a")
		require.Equal(t, 1.0, w.row("a").Weight, "there is nobody to spare the first")
		time.Sleep(time.Minute)
		w.up("a", "b")
		require.Equal(t, 0.1, w.row("b").Weight)
		require.Equal(t, balance.StateNew, w.row("b").State)
		time.Sleep(2500 * time.Millisecond)
		require.Equal(t, 0.5, w.row("b").Weight)
		time.Sleep(2500 * time.Millisecond)
		require.Equal(t, 1.0, w.row("b").Weight)
		require.Equal(t, balance.StateFit, w.row("b").State)
	})
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		w.up("a")
		time.Sleep(time.Minute)
		w.up("a", "b", "c")
		count := w.calls(1000, fine) // for a second
		require.InDelta(t, 45, count["b"], 30, "a tenth of its share, and a fifth at last")
		require.NotZero(t, count["c"])
	})
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		w.up("a")
		time.Sleep(10 * time.Millisecond)
		w.up("a", "b")
		time.Sleep(90 * time.Millisecond)
		require.Equal(t, 0.9, w.row("b").Weight, "all are new: nobody is")
	})
	in(t, balance.Config{SlowStart: -1}, func(t *testing.T, w *world) {
		w.up("a")
		time.Sleep(time.Minute)
		w.up("a", "b")
		require.Equal(t, 1.0, w.row("b").Weight)
	})
}

func TestTheRegistrysWeightCounts(t *testing.T) {
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		set := endpoints("a", "b")
		set[0].Weight = 3
		w.Update(set, 2)
		require.Equal(t, 3.0, w.row("a").Weight)
		require.Equal(t, 1.0, w.row("b").Weight)
		require.InDelta(t, 3, w.row("b").Cost/w.row("a").Cost, 0.001)
		set[0].Weight = -1
		w.Update(set, 2)
		require.Equal(t, 1.0, w.row("a").Weight, "it follows; below 1 is 1")
	})
}

func TestTheOwnerFindsWhatItGave(t *testing.T) {
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		w.Update([]balance.Endpoint{{Instance: registry.Instance{ID: "a", Addr: "x:1"}, Via: 7}}, 1)
		f, _ := w.Pick(balance.Call{})
		require.Equal(t, 7, f.Peer.Via())
		require.Equal(t, "x:1", f.Peer.Instance().Addr)
		w.Update([]balance.Endpoint{{Instance: registry.Instance{ID: "a", Addr: "y:1"}, Via: "other"}}, 1)
		require.Equal(t, "other", f.Peer.Via())
		require.Equal(t, "y:1", f.Peer.Instance().Addr)
		f.Done(balance.OK)
	})
}

func TestManyMayPickWhileTheListChanges(t *testing.T) {
	b := balance.New(balance.Config{Policy: policy.PeakEWMA{}, Seed: 1})
	defer b.Close()
	b.Update(endpoints("a", "b", "c"), 3)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 500 {
				f, ok := b.Pick(balance.Call{})
				if !ok {
					t.Error("nobody")
					return
				}
				f.Done(balance.Outcome((g*i + i) % 4))
			}
		})
	}
	for i := range 100 {
		b.Update(endpoints(names(1+i%5)...), 5)
		_ = b.Explain()
	}
	all.Wait()
	for _, r := range b.Explain().Peers {
		require.Zero(t, r.InFlight, r.ID)
	}
}
