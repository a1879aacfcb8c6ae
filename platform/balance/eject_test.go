package balance_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/policy"
)

func TestFailuresInARowEjectAndTrialCallsBringBack(t *testing.T) {
	in(t, balance.Config{SlowStart: -1}, func(t *testing.T, w *world) {
		w.up("a", "b", "c")
		require.Equal(t, map[string]int{"a": 5, "b": 5, "c": 5}, w.calls(15, failing(balance.Failed, "c")))
		require.Equal(t, map[string]int{"a": 50, "b": 50}, w.calls(100, failing(balance.Failed, "c")))
		require.Equal(t, balance.StateEjected, w.row("c").State)
		require.Equal(t, "failures in a row", w.row("c").Why)

		time.Sleep(5 * time.Second)
		require.Equal(t, 1, w.calls(100, failing(balance.Failed, "c"))["c"], "one call finds that it is not well")
		time.Sleep(5 * time.Second)
		require.Zero(t, w.calls(10, fine)["c"], "the second time takes twice as long")
		time.Sleep(5 * time.Second)
		require.Equal(t, "c", w.call(time.Second, fine), "it is tried")
		require.Equal(t, balance.StateTrial, w.row("c").State)
		w.calls(2, fine)
		require.Equal(t, balance.StateFit, w.row("c").State, "after three calls")
		require.InDelta(t, 10, w.calls(30, fine)["c"], 1)
	})
}

func TestAnswersThatBreakOffEjectToo(t *testing.T) {
	in(t, balance.Config{SlowStart: -1}, func(t *testing.T, w *world) {
		w.up("a", "b")
		end := func(o balance.Outcome) string {
			f, _ := w.Pick(balance.Call{})
			f.Answer(balance.OK)
			f.Done(map[string]balance.Outcome{"a": balance.OK, "b": o}[f.Peer.ID()])
			return f.Peer.ID()
		}
		for range 40 {
			end(balance.GivenUp)
		}
		require.Equal(t, balance.StateFit, w.row("b").State, "its callers left: that says nothing")
		for range 8 {
			end(balance.Failed)
		}
		end(balance.OK)
		end(balance.OK)
		require.Equal(t, balance.StateFit, w.row("b").State, "not in a row")
		require.Positive(t, w.row("b").Failures)
		for range 10 {
			end(balance.Failed)
		}
		require.Equal(t, balance.StateEjected, w.row("b").State, "though each answer began well")
		require.Equal(t, "answers broken off in a row", w.row("b").Why)
		time.Sleep(6 * time.Second)
		require.Equal(t, "b", end(balance.Failed), "it is tried")
		require.Equal(t, balance.StateEjected, w.row("b").State)
	})
}

func TestOneCallAtATimeTriesAnEjectedInstance(t *testing.T) {
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		w.up("a", "b")
		w.calls(10, failing(balance.Failed, "b"))
		time.Sleep(6 * time.Second)
		trial, _ := w.Pick(balance.Call{})
		require.Equal(t, "b", trial.Peer.ID())
		require.Equal(t, map[string]int{"a": 20}, w.calls(20, fine))
		trial.Done(balance.GivenUp)
		require.Equal(t, "b", w.call(0, fine), "nothing was learnt, so that another one is sent")
	})
}

func TestAnInstanceComesBackSlowly(t *testing.T) {
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		w.up("a", "b")
		w.calls(10, failing(balance.Failed, "b"))
		time.Sleep(5 * time.Second)
		w.calls(6, fine)
		require.Equal(t, balance.StateNew, w.row("b").State)
		require.Less(t, w.row("b").Weight, 0.2)
	})
}

func TestCallsThatWereOnTheirWayDoNotProlongAnEjection(t *testing.T) {
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		w.up("a", "b")
		var late []balance.Flight
		for range 20 {
			f, _ := w.Pick(balance.Call{})
			late = append(late, f)
		}
		w.calls(10, failing(balance.Failed, "b"))
		ends := w.row("b").For
		for i := range late {
			late[i].Done(failing(balance.Failed, "b")(late[i].Peer.ID()))
		}
		require.Equal(t, ends, w.row("b").For)
		require.EqualValues(t, 1, w.Explain().Ejections)
	})
}

func TestAnEjectionLongAgoIsForgiven(t *testing.T) {
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		w.up("a", "b")
		for range 2 {
			w.calls(10, failing(balance.Failed, "b"))
			require.InDelta(t, 5, w.row("b").For.Seconds(), 0.01)
			time.Sleep(5 * time.Second)
			w.calls(10, fine)
			require.Equal(t, balance.StateNew, w.row("b").State)
			time.Sleep(5 * time.Minute)
		}
	})
}

func TestOnlyCallsSinceTheLastReviewAreCompared(t *testing.T) {
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		w.up("a", "b")
		w.calls(1000, fine)
		time.Sleep(5 * time.Second)
		n := 0
		w.calls(41, func(id string) balance.Outcome {
			if n++; id == "b" && n/2%2 == 0 {
				return balance.Failed
			}
			return balance.OK
		})
		time.Sleep(5 * time.Second)
		w.call(0, fine)
		require.Equal(t, "success rate", w.row("b").Why)
	})
}

func TestASuccessInBetweenStartsTheRowAnew(t *testing.T) {
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		w.up("a", "b")
		n := 0
		for range 80 { // b fails four times of five, within one window
			w.call(0, func(id string) balance.Outcome {
				if n++; id == "b" && n%10 != 0 {
					return balance.Failed
				}
				return balance.OK
			})
		}
		require.Equal(t, balance.StateFit, w.row("b").State)
	})
}

func TestASuccessRateBelowThatOfItsPeersEjects(t *testing.T) {
	for _, n := range []int{2, 3, 10} {
		in(t, balance.Config{}, func(t *testing.T, w *world) {
			w.up(names(n)...)
			half := 0
			w.calls(n*40, func(id string) balance.Outcome {
				if half++; id == "i00" && half/n%2 == 0 {
					return balance.Failed
				}
				return balance.OK
			})
			require.Equal(t, balance.StateFit, w.row("i00").State)
			time.Sleep(5 * time.Second)
			w.call(0, fine)
			require.Equal(t, balance.StateEjected, w.row("i00").State)
			require.Equal(t, "success rate", w.row("i00").Why)
		})
	}
}

func TestWhereAllFailAlikeNobodyIsBelowTheOthers(t *testing.T) {
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		w.up("a", "b", "c")
		for i := range 300 {
			w.call(100*time.Millisecond, func(string) balance.Outcome { return balance.Outcome(i / 3 % 2) })
		}
		require.Zero(t, w.Explain().Ejections)
	})
}

func TestWhoRefusesConnectionsIsTriedAgainSoon(t *testing.T) {
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		w.up("a", "b")
		require.LessOrEqual(t, w.calls(20, failing(balance.Unreachable, "b"))["b"], 1)
		require.Equal(t, "refuses connections", w.row("b").Why)
		time.Sleep(time.Second)
		require.Equal(t, 1, w.calls(20, failing(balance.Unreachable, "b"))["b"])
		time.Sleep(time.Second)
		w.calls(2, fine)
		require.Equal(t, balance.StateFit, w.row("b").State, "one connection is proof enough")
		require.Equal(t, 1.0, w.row("b").Weight, "and it is not new")
	})
}

func TestEjectionCanBeSwitchedOff(t *testing.T) {
	in(t, balance.Config{Eject: balance.Ejection{Off: true}}, func(t *testing.T, w *world) {
		w.up("a", "b")
		require.Equal(t, map[string]int{"a": 50, "b": 50}, w.calls(100, failing(balance.Failed, "b")))
	})
}

// TestAtMostHalfAreEjected: whatever fails, half of the instances are called.
func TestAtMostHalfAreEjected(t *testing.T) {
	for n := 1; n <= 9; n++ {
		in(t, balance.Config{Panic: -1}, func(t *testing.T, w *world) {
			w.up(names(n)...)
			all := names(n)
			w.calls(n*20, failing(balance.Failed, all...))
			count := w.calls(n*4, failing(balance.Failed, all...))
			require.GreaterOrEqual(t, len(count), n-n/2, "%d instances", n)
		})
	}
}

func TestEjectionStaysBoundedWhateverHappens(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 0))
				b := balance.New(balance.Config{Policy: new(policy.RoundRobin), Seed: seed + 1, Panic: -float64(seed % 2)})
				defer b.Close()
				n := 1 + r.IntN(9)
				b.Update(endpoints(names(n)...), n)
				for range 2000 {
					f, ok := b.Pick(balance.Call{})
					require.True(t, ok, "somebody is always called")
					time.Sleep(time.Duration(r.IntN(int(10 * time.Millisecond))))
					o := balance.OK
					if r.IntN(3) > 0 {
						o = balance.Outcome(r.IntN(4))
					}
					f.Done(o)
					out := 0
					for _, row := range b.Explain().Peers {
						if row.InFlight != 0 {
							t.Fatal("in flight after its end")
						}
						if row.State == balance.StateEjected || row.State == balance.StateTrial {
							out++
						}
					}
					require.LessOrEqual(t, out, n/2)
				}
			})
		})
	}
}

func TestInAPanicAllThatCanBeReachedAreCalled(t *testing.T) {
	in(t, balance.Config{}, func(t *testing.T, w *world) {
		w.Update(endpoints("a", "b", "c"), 5)
		w.calls(15, failing(balance.Failed, "c"))
		require.True(t, w.Explain().Panic, "two of five are fit")
		require.Positive(t, w.calls(30, fine)["c"])
		w.Update(endpoints("a", "b", "c", "d", "e"), 5)
		require.False(t, w.Explain().Panic)
		require.EqualValues(t, 1, w.Explain().Panics)
	})
	in(t, balance.Config{Panic: -1}, func(t *testing.T, w *world) {
		w.Update(endpoints("a", "b", "c"), 50)
		w.calls(15, failing(balance.Failed, "c"))
		require.False(t, w.Explain().Panic)
		require.Zero(t, w.calls(30, fine)["c"])
	})
}
