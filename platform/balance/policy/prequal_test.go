package policy_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/policy"
)

// A desk takes the questions of a Prequal, and answers when the test says so.
type desk struct {
	asked []string
	hear  map[string]func(balance.Load)
}

func (d *desk) ask(p *balance.Peer, hear func(balance.Load)) {
	d.asked = append(d.asked, p.ID())
	d.hear[p.ID()] = hear
}

// take is what has been asked since the last time.
func (d *desk) take() []string {
	asked := d.asked
	d.asked = nil
	return asked
}

// at makes a world whose questions go to a desk.
func at(t *testing.T, c policy.PrequalConfig, n int) (*world, *desk) {
	d := &desk{hear: make(map[string]func(balance.Load))}
	return worldOf(t, balance.Config{Policy: policy.NewPrequal(c), Ask: d.ask}, n), d
}

// pick returns whom a call goes to, and why.
func (w *world) pick() (string, string) {
	f, ok := w.Pick(balance.Call{})
	require.True(w.t, ok)
	return f.Peer.ID(), w.Explain().Last.Why
}

func TestPrequalAsksDifferentInstancesWithEachCall(t *testing.T) {
	for _, n := range []int{2, 3, 4, 17, 100} {
		w, d := at(t, policy.PrequalConfig{Rate: 1e6}, n)
		seen := make(map[string]bool)
		for range 30 * n {
			w.pick()
			asked := d.take()
			require.Len(t, asked, min(n, 3))
			for i, id := range asked {
				require.NotContains(t, asked[:i], id)
				seen[id] = true
			}
			w.pass(time.Millisecond)
		}
		require.Len(t, seen, n, "sooner or later everybody is asked")
	}
}

func TestPrequalMayAskWithEverySecondCallOnly(t *testing.T) {
	w, d := at(t, policy.PrequalConfig{Probes: 1.5}, 10)
	for _, want := range []int{1, 2, 1, 2} {
		w.pick()
		require.Len(t, d.take(), want)
	}
}

func TestPrequalAsksNoMoreThanItsRate(t *testing.T) {
	for _, n := range []int{5, 40} {
		var w *world
		asked := 0
		p := policy.NewPrequal(policy.PrequalConfig{Rate: 200})
		w = worldOf(t, balance.Config{Policy: p, Ask: func(p *balance.Peer, hear func(balance.Load)) {
			asked++
			w.ask(p, hear)
		}}, n)
		byPool := 0
		for range 5000 {
			w.call()
			if w.Explain().Last.Why == "not hot, and the lowest cost" {
				byPool++
			}
			w.pass(400 * time.Microsecond)
		}
		require.InDelta(t, 400, asked, 20, "in two seconds")
		if n <= 16 {
			require.Greater(t, byPool, 4000, "the pool has all that is to be known")
		} else {
			require.InDelta(t, 400/3, byPool, 120, "and it serves no more calls than it has probes for")
		}
	}
}

func TestPrequalPicksByHotAndCold(t *testing.T) {
	ms := time.Millisecond
	for name, c := range map[string]struct {
		quantile float64
		loads    []balance.Load
		want     string
		why      string
	}{
		"the cheapest of the cold": {0.5, []balance.Load{{InFlight: 90, Latency: 4 * ms}, {InFlight: 20, Latency: 18 * ms}, {InFlight: 20, Latency: 10 * ms}, {InFlight: 91, Latency: 4 * ms}},
			"i002", "not hot, and the lowest cost"},
		"the only cold one": {0.1, []balance.Load{{InFlight: 8, Latency: 5 * ms}, {InFlight: 9, Latency: 5 * ms}, {InFlight: 7, Latency: 15 * ms}},
			"i002", "the others are hot"},
		"of two that are about as fast, the one with fewer calls": {1, []balance.Load{{InFlight: 8, Latency: 10 * ms}, {InFlight: 3, Latency: 13 * ms}, {InFlight: 4, Latency: 19 * ms}},
			"i001", "not hot, and the lowest cost"},
		"all hot, of which one is hot because it is slow": {0.1, []balance.Load{{InFlight: 9, Latency: 5 * ms}, {InFlight: 7, Latency: 5 * ms}, {InFlight: 1, Latency: 500 * ms}},
			"i001", "all are hot: fewest calls in flight"},
	} {
		t.Run(name, func(t *testing.T) {
			w, d := at(t, policy.PrequalConfig{Quantile: c.quantile, Probes: 4}, len(c.loads))
			f, _ := w.Pick(balance.Call{})
			f.Done(balance.GivenUp)
			for i, l := range c.loads {
				d.hear[fmt.Sprintf("i%03d", i)](l)
			}
			id, why := w.pick()
			require.Equal(t, c.want, id)
			require.Equal(t, c.why, why)
		})
	}
}

// byCost is why PeakEWMA picks.
var byCost = []string{"lower cost", "costs about the same, and waited longer"}

func TestPrequalGoesByCostWhileItKnowsTooLittle(t *testing.T) {
	w, d := at(t, policy.PrequalConfig{}, 3)
	_, why := w.pick()
	require.Contains(t, byCost, why)
	require.Len(t, d.take(), 3)
	d.hear["i000"](balance.Load{Latency: time.Millisecond})
	_, why = w.pick()
	require.Contains(t, byCost, why, "of one alone")
	d.hear["i001"](balance.Load{Latency: time.Millisecond})
	d.hear["i002"](balance.Load{Latency: time.Millisecond})
	_, why = w.pick()
	require.NotContains(t, byCost, why)
	w.pass(2 * time.Second)
	_, why = w.pick()
	require.Contains(t, byCost, why, "what was said is too old")
}

func TestPrequalCountsItsOwnCallsUntilItHearsMore(t *testing.T) {
	w, d := at(t, policy.PrequalConfig{}, 3)
	w.pick()
	for i := range 3 {
		d.hear[fmt.Sprintf("i%03d", i)](balance.Load{InFlight: 5, Latency: time.Millisecond})
	}
	count := make(map[string]int)
	for range 30 {
		id, why := w.pick()
		require.NotContains(t, byCost, why)
		count[id]++
	}
	require.Equal(t, map[string]int{"i000": 10, "i001": 10, "i002": 10}, count, "no herd")
}

func TestPrequalEvensOutWhatItHears(t *testing.T) {
	w, d := at(t, policy.PrequalConfig{}, 3)
	w.pick()
	for i, n := range []int{3, 0, 0} {
		d.hear[fmt.Sprintf("i%03d", i)](balance.Load{InFlight: n, Latency: time.Millisecond})
	}
	count := make(map[string]int)
	for range 12 {
		id, _ := w.pick()
		count[id]++
	}
	require.Equal(t, map[string]int{"i000": 2, "i001": 5, "i002": 5}, count)
}

func TestPrequalDoesNotTrustWhoFails(t *testing.T) {
	w, d := at(t, policy.PrequalConfig{}, 2)
	for range 4 {
		f, _ := w.Pick(balance.Call{})
		o := balance.OK
		if f.Peer.ID() == "i000" {
			o = balance.Failed
		}
		f.Done(o)
		w.pass(time.Millisecond)
	}
	d.hear["i000"](balance.Load{Latency: time.Millisecond})
	d.hear["i001"](balance.Load{InFlight: 1, Latency: time.Millisecond})
	id, why := w.pick()
	require.Equal(t, "i001", id, why)
	require.NotContains(t, byCost, why)
}

func TestPrequalSeesThatItsOwnCallsWait(t *testing.T) {
	w, d := at(t, policy.PrequalConfig{}, 2)
	f, _ := w.Pick(balance.Call{})
	other := map[string]string{"i000": "i001", "i001": "i000"}[f.Peer.ID()]
	w.pass(500 * time.Millisecond)
	d.hear[f.Peer.ID()](balance.Load{InFlight: 1, Latency: time.Millisecond})
	d.hear[other](balance.Load{InFlight: 3, Latency: time.Millisecond})
	id, why := w.pick()
	require.Equal(t, other, id, "it says that it is fast")
	require.NotContains(t, byCost, why)
}

func TestAProbeServesFewCalls(t *testing.T) {
	w, d := at(t, policy.PrequalConfig{Probes: 10, Remove: 0.01}, 100)
	w.pick()
	asked := d.take()
	for i, id := range asked {
		l := balance.Load{InFlight: 50, Latency: 50 * time.Millisecond}
		if i == 0 {
			l = balance.Load{Latency: time.Millisecond}
		}
		d.hear[id](l)
	}
	id, why := w.pick()
	for slices.Contains(byCost, why) {
		id, why = w.pick()
	}
	require.Equal(t, asked[0], id)
	for range 8 {
		id, _ = w.pick()
		require.NotEqual(t, asked[0], id, "others know that it is idle, too")
	}
}

func TestPrequalNeverPicksWhoLeftWhileItWasAsked(t *testing.T) {
	for _, n := range []int{4, 40} {
		w, d := at(t, policy.PrequalConfig{Probes: 16, Rate: 1e6}, n)
		for range 50 {
			w.pick()
		}
		w.Update(without(endpoints(n), 1), n)
		for range 3 {
			for i := range n {
				l := balance.Load{InFlight: 100, Latency: time.Second}
				if i == 1 {
					l = balance.Load{Latency: time.Microsecond}
				}
				d.hear[fmt.Sprintf("i%03d", i)](l)
			}
			for range 100 {
				id, _ := w.pick()
				require.NotEqual(t, "i001", id)
			}
		}
	}
}

func TestPrequalAvoidsWhoSaysThatItIsSlow(t *testing.T) {
	w, d := at(t, policy.PrequalConfig{}, 3)
	for range 3 {
		w.pick()
		w.pass(time.Millisecond)
		d.hear["i000"](balance.Load{Latency: 300 * time.Millisecond})
		d.hear["i001"](balance.Load{InFlight: 3, Latency: 10 * time.Millisecond})
		d.hear["i002"](balance.Load{InFlight: 4, Latency: 10 * time.Millisecond})
	}
	for range 10 {
		id, _ := w.pick()
		require.NotEqual(t, "i000", id, "though this client never called it")
	}
}

// An instance that does not know how to answer, as while a version is rolled
// out, is no worse for it.
func TestPrequalCallsInstancesThatNeverAnswer(t *testing.T) {
	for _, c := range []struct{ n, silent int }{{2, 1}, {3, 1}, {10, 5}, {40, 20}, {40, 40}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			w := newWorld(t, "prequal", c.n)
			for _, m := range w.models[:c.silent] {
				m.silent = true
			}
			got := w.calls(50*c.n, 6*time.Second)
			require.Greater(t, slices.Min(got), 300/10, "a tenth of its share: %v", got)
		})
	}
}

func TestPrequalStaysInTheZone(t *testing.T) {
	w := worldOf(t, balance.Config{Policy: policy.NewPrequal(policy.PrequalConfig{}), Zone: balance.Zone{Own: "near"}}, 8)
	set := endpoints(8)
	for i := range set {
		set[i].Zone = []string{"near", "far"}[i%2]
	}
	w.Update(set, 8)
	got := w.calls(1000, 10*time.Second)
	for i := range got {
		if i%2 == 0 {
			require.Greater(t, got[i], 1800, "%v", got)
		} else {
			require.Less(t, got[i], 60, "a sample: %v", got)
			require.Positive(t, got[i])
		}
	}
}

func TestPrequalDoesWithoutAnswers(t *testing.T) {
	p := policy.NewPrequal(policy.PrequalConfig{})
	b := balance.New(balance.Config{Policy: p, Seed: 1})
	defer b.Close()
	b.Update(endpoints(5), 5)
	count := make(map[string]int)
	for range 50 {
		f, _ := b.Pick(balance.Call{})
		count[f.Peer.ID()]++
	}
	require.Len(t, count, 5)
	require.Contains(t, b.Explain().Explained, "Nobody can be asked")
}

func TestPrequalExplainsItself(t *testing.T) {
	w := newWorld(t, "prequal", 5)
	w.calls(200, time.Second)
	r := w.Explain()
	require.Regexp(t, `^It knows what 5 instances said lately, takes more than \d\S* calls in flight for many, and asks 3 instances per call\.$`, r.Explained)
	require.NotEmpty(t, r.Last.Over)
	require.LessOrEqual(t, r.Last.Score, 1.1*r.Last.OverThan)
}

func TestTheNextBestIsAnotherOne(t *testing.T) {
	for _, name := range []string{"peak_ewma", "prequal", "least_request"} {
		for _, n := range []int{2, 3, 17, 40} {
			w := newWorld(t, name, n)
			for range 500 {
				w.call()
				w.pass(time.Millisecond)
				last := w.Explain().Last
				require.NotEqual(t, last.Instance, last.Over, "%s of %d: %s", name, n, last.Why)
			}
		}
	}
}
