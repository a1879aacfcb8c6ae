package policy_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/policy"
)

func TestEqualInstancesGetAboutAsManyCalls(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		for _, n := range []int{2, 3, 10, 30} {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				w := newWorld(t, name, n)
				got := w.calls(100*n, 2*time.Second)
				for i := range got {
					require.GreaterOrEqual(t, got[i], 100, "instance %d of %v", i, got)
					require.LessOrEqual(t, got[i], 400, "instance %d of %v", i, got)
				}
			})
		}
	})
}

func TestRoundRobinIsExact(t *testing.T) {
	w := newWorld(t, "round_robin", 7)
	for i := range 700 {
		w.call()
		w.pass(time.Millisecond)
		got := w.got()
		require.LessOrEqual(t, slices.Max(got)-slices.Min(got), 1, "after %d calls: %v", i+1, got)
	}
}

func TestWeightedRoundRobinFollowsTheWeights(t *testing.T) {
	for _, weights := range [][]int{{1, 1, 1}, {1, 2, 3}, {1, 100}, {5, 5, 90, 400}, {7, 13, 29, 31, 20}} {
		t.Run(fmt.Sprint(weights), func(t *testing.T) {
			w := newWorld(t, "weighted_round_robin", len(weights))
			w.Update(weighed(weights...), len(weights))
			sum := 0
			for _, x := range weights {
				sum += x
			}
			got := w.calls(1000, 10*time.Second)
			for i, x := range weights {
				want := 10000 * float64(x) / float64(sum)
				require.InDelta(t, want, got[i], 100, "1 %% of the calls: %v", got)
				require.InEpsilon(t, want, got[i], 0.02, "%v", got)
			}
		})
	}
}

func TestWeightedRoundRobinSpreadsTurnsOut(t *testing.T) {
	w := newWorld(t, "weighted_round_robin", 3)
	w.Update(weighed(4, 2, 1), 3)
	row, longest, gap, widest := 0, 0, 0, 0
	for range 700 {
		m := w.call()
		w.pass(time.Millisecond)
		if row++; m != w.models[0] {
			row = 0
		}
		if gap++; m == w.models[2] {
			gap = 0
		}
		longest, widest = max(longest, row), max(widest, gap)
	}
	require.LessOrEqual(t, longest, 3, "an instance that gets four of seven calls does not get them in a row")
	require.LessOrEqual(t, widest, 13, "and who gets one of seven waits for twice as many at most")
}

func TestWeightsCountWhereCallsQueue(t *testing.T) {
	for _, name := range []string{"peak_ewma", "prequal", "least_request", "ring_hash", "maglev"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, name, 3)
			w.Update(weighed(3, 1, 1), 3)
			got := w.calls(3000, 5*time.Second)
			require.InDelta(t, 9000, got[0], 1500, "three of five: %v", got)
		})
	}
}

func TestNobodyWhoIsWellStarves(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		w := newWorld(t, name, 10)
		for i, m := range w.models {
			m.took = time.Duration(10+2*i) * time.Millisecond
		}
		got := w.calls(2000, time.Second)
		require.Positive(t, slices.Min(got), "of 2000 calls: %v", got)
	})
}

// An instance that was slow for a while is called again when it is well:
// Traefik's least-time policy left one with 5 of 1,500 requests (#12306).
func TestAnInstanceThatWasSlowIsCalledAgain(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		for _, n := range []int{2, 3, 20} {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				w := newWorld(t, name, n)
				w.models[0].took = 2 * time.Second
				w.calls(200, 5*time.Second)
				w.models[0].took = 10 * time.Millisecond
				w.calls(200, time.Minute)
				got := w.calls(200, 30*time.Second)
				require.Greater(t, got[0], 6000/n/3, "%v", got)
			})
		}
	})
}

func TestAnInstanceThatFailedIsCalledAgain(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		w := newWorld(t, name, 3)
		w.models[0].fails = true
		bad := w.calls(200, 5*time.Second)
		require.Less(t, bad[0], 30, "%v", bad)
		w.models[0].fails = false
		w.calls(200, time.Minute)
		got := w.calls(200, 10*time.Second)
		require.Greater(t, got[0], 300, "%v", got)
	})
}

func TestASlowInstanceIsAvoided(t *testing.T) {
	for _, name := range []string{"peak_ewma", "prequal"} {
		for _, n := range []int{2, 3, 10, 40} {
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				w := newWorld(t, name, n)
				w.models[0].took = time.Second
				got := w.calls(200, 10*time.Second)
				require.LessOrEqual(t, got[0], 20, "1 %% of %v", got)
			})
		}
	}
}

// A picker that makes its figures anew with the list sends the next calls to
// whoever was slow.
func TestASlowInstanceIsAvoidedThroughChangesOfTheList(t *testing.T) {
	for _, name := range []string{"peak_ewma", "prequal"} {
		for _, n := range []int{3, 10, 40} {
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				w := newWorld(t, name, n+1)
				w.models[0].took = time.Second
				w.calls(200, 2*time.Second)
				before := w.models[0].got
				set := endpoints(n + 1)
				for i := range 40 {
					w.Update(set[:n+i%2], n+i%2)
					w.calls(200, 250*time.Millisecond)
				}
				require.LessOrEqual(t, w.models[0].got-before, 10, "of 2000 calls")
			})
		}
	}
}

func TestAPickIsOfTheSet(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		w := newWorld(t, name, 30)
		set := endpoints(30)
		for i := range 20 {
			gone := 7 * i % 30
			w.Update(without(set, gone), 29)
			before := w.models[gone].got
			w.calls(2000, 50*time.Millisecond)
			require.Equal(t, before, w.models[gone].got, "instance %d has left", gone)
		}
	})
}

func TestManyPickWhileTheListChanges(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		p, err := policy.Parse(name)
		require.NoError(t, err)
		b := balance.New(balance.Config{
			Policy: p, Seed: 1,
			Ask: func(_ *balance.Peer, hear func(balance.Load)) {
				go hear(balance.Load{InFlight: 1, Latency: time.Millisecond})
			},
		})
		defer b.Close()
		set := endpoints(24)
		b.Update(set, 24)
		var all sync.WaitGroup
		for g := range 8 {
			all.Go(func() {
				for i := range 300 {
					f, ok := b.Pick(balance.Call{Key: uint64(g*1000 + i)})
					if !ok {
						t.Error("nobody")
						return
					}
					f.Done(balance.Outcome((g + i) % 4))
				}
			})
		}
		for i := range 40 {
			b.Update(set[:2+(7*i)%23], 24)
			_ = b.Explain()
		}
		all.Wait()
		b.Update(set, 24)
		for _, r := range b.Explain().Peers {
			require.Zero(t, r.InFlight, r.ID)
		}
	})
}

func TestAPickAllocatesNothing(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		for _, n := range []int{2, 16, 100} {
			w := newWorld(t, name, n)
			w.calls(1000, time.Second)
			w.pass(time.Second)
			key := uint64(0)
			require.Zero(t, testing.AllocsPerRun(1000, func() {
				key++
				f, _ := w.Pick(balance.Call{Key: balance.Combine(key, 1)})
				f.Done(balance.OK)
			}), "%d instances", n)
		}
	})
}
