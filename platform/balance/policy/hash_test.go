package policy_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/policy"
)

// hashes runs a story for each policy that goes by a key, without a bound.
func hashes(t *testing.T, story func(t *testing.T, name string)) {
	for _, name := range []string{"ring_hash", "maglev"} {
		t.Run(name, func(t *testing.T) { story(t, name+":bound=1") })
	}
}

const keys = 5000

// homes is where keys go, one after the other.
func homes(t *testing.T, b *balance.Balancer) []string {
	out := make([]string, keys)
	for i := range out {
		f, ok := b.Pick(balance.Call{Key: balance.Combine(uint64(i), 7)})
		if !ok {
			t.Fatal("nobody is picked")
		}
		out[i] = f.Peer.ID()
		f.Done(balance.OK)
	}
	return out
}

func moved(a, b []string) (n int) {
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

func TestAKeyGoesToOneInstanceInEveryProcess(t *testing.T) {
	hashes(t, func(t *testing.T, name string) {
		var all [2][]string
		for i := range all {
			p, err := policy.Parse(name)
			require.NoError(t, err)
			b := balance.New(balance.Config{Policy: p, Seed: uint64(i + 1)})
			set := endpoints(10)
			if i == 1 {
				slices.Reverse(set)
			}
			b.Update(set, 10)
			all[i] = homes(t, b)
			b.Close()
		}
		require.Equal(t, all[0], all[1])
	})
}

func TestFewKeysMoveWhenAnInstanceLeavesAndAllComeBack(t *testing.T) {
	hashes(t, func(t *testing.T, name string) {
		for _, n := range []int{2, 5, 7, 20, 100} {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				w, set := newWorld(t, name, n), endpoints(n)
				before := homes(t, w.Balancer)
				w.Update(without(set, n/2), n)
				after := homes(t, w.Balancer)
				mine := 0
				for i, home := range before {
					if home == set[n/2].ID {
						mine++
					} else if name == "ring_hash:bound=1" && home != after[i] {
						t.Fatalf("key %d of %s moves to %s", i, home, after[i])
					}
				}
				require.InDelta(t, keys/n, mine, 0.5*keys/float64(n))
				require.Less(t, moved(before, after), 2*keys/n+keys/50)
				w.Update(set, n)
				require.Equal(t, before, homes(t, w.Balancer))
			})
		}
	})
}

func TestKeysOfOthersStayWhereAnInstanceIsEjected(t *testing.T) {
	w := newWorld(t, "ring_hash:bound=1", 5)
	before := homes(t, w.Balancer)
	w.models[2].fails = true
	for w.Explain().Ejections == 0 {
		w.call()
		w.pass(1e6)
	}
	for i, home := range homes(t, w.Balancer) {
		if home == "i002" || before[i] != "i002" && before[i] != home {
			t.Fatalf("key %d moves from %s to %s", i, before[i], home)
		}
	}
}

func TestKeysFollowTheWeights(t *testing.T) {
	hashes(t, func(t *testing.T, name string) {
		for _, weights := range [][]int{{3, 1, 1, 1}, {30, 20, 10}, {1, 1000000}} {
			w, sum := newWorld(t, name, len(weights)), 0
			w.Update(weighed(weights...), len(weights))
			count := make(map[string]int)
			for _, home := range homes(t, w.Balancer) {
				count[home]++
			}
			for _, x := range weights {
				sum += x
			}
			for i, x := range weights {
				want := keys * float64(x) / float64(sum)
				require.InDelta(t, want, count[endpoints(i + 1)[i].ID], 0.25*want+keys/100, "%v: %v", weights, count)
			}
		}
	})
}

func TestNobodyHasMoreThanItsBoundInFlight(t *testing.T) {
	for _, name := range []string{"ring_hash", "maglev", "ring_hash:bound=2", "maglev:bound=1.1"} {
		for _, weights := range [][]int{{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, {4, 2, 1, 1}} {
			t.Run(fmt.Sprint(name, weights), func(t *testing.T) {
				p, err := policy.Parse(name)
				require.NoError(t, err)
				bound := map[string]float64{"ring_hash": 1.25, "maglev": 1.25, "ring_hash:bound=2": 2, "maglev:bound=1.1": 1.1}[name]
				w := worldOf(t, balance.Config{Policy: p}, len(weights))
				w.Update(weighed(weights...), len(weights))
				total, sum := 0, 0
				for _, x := range weights {
					sum += x
				}
				for range 500 {
					total++
					f, ok := w.Pick(balance.Call{Key: 42}) // all calls have one key
					require.True(t, ok)
					at := slices.IndexFunc(endpoints(len(weights)), func(e balance.Endpoint) bool { return e.ID == f.Peer.ID() })
					most := math.Ceil(bound*float64(total)*float64(weights[at])/float64(sum) - 1e-9)
					require.LessOrEqual(t, float64(f.Peer.InFlight()), most, "of %d calls", total)
				}
			})
		}
	}
}

func TestAKeyStaysAtHomeWhereThereIsRoom(t *testing.T) {
	for _, name := range []string{"ring_hash", "maglev"} {
		w := newWorld(t, name, 10)
		f, _ := w.Pick(balance.Call{Key: 42})
		home := f.Peer
		g, _ := w.Pick(balance.Call{Key: 42})
		require.NotEqual(t, home, g.Peer, "two of two would be more than the bound")
		require.Contains(t, w.Explain().Last.Why, "too many")
		require.Equal(t, home.ID(), w.Explain().Last.Over)
		f.Done(balance.OK)
		f, _ = w.Pick(balance.Call{Key: 42})
		require.Equal(t, home, f.Peer)
	}
}

func TestCallsWithoutAKeyGoByCost(t *testing.T) {
	for _, name := range []string{"ring_hash", "maglev"} {
		w := newWorld(t, name, 3)
		for range 3 {
			_, ok := w.Pick(balance.Call{})
			require.True(t, ok)
		}
		for _, r := range w.Explain().Peers {
			require.Equal(t, 1, r.InFlight)
		}
	}
}

// A review makes a new set of the same peers every few seconds, on the way of a
// call.
func TestATableIsKeptWhileThePeersStay(t *testing.T) {
	hashes(t, func(t *testing.T, name string) {
		w, set := newWorld(t, name, 50), endpoints(50)
		update := func() { w.Update(set, 50) }
		both := func() {
			update()
			f, _ := w.Pick(balance.Call{Key: 1})
			f.Done(balance.OK)
		}
		both()
		require.LessOrEqual(t, testing.AllocsPerRun(20, both)-testing.AllocsPerRun(20, update), 4.0)
	})
}
