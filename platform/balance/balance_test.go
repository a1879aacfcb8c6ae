package balance_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/balance"
	"example.com/app/platform/registry"
)

// instances makes a set of the given ids.
func instances(weights map[string]int, ids ...string) []registry.Instance {
	set := make([]registry.Instance, len(ids))
	for i, id := range ids {
		set[i] = registry.Instance{ID: id, Weight: weights[id]}
	}
	return set
}

// order lists the ids of n picks.
func order(p balance.Policy, set []registry.Instance, n int) string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = p.Pick(set).ID
	}
	return strings.Join(ids, " ")
}

func TestRoundRobinGivesEveryInstanceItsTurnInOrder(t *testing.T) {
	require.Equal(t, "a b c a b c a", order(new(balance.RoundRobin), instances(nil, "a", "b", "c"), 7))
}

func TestRoundRobinReachesNewInstancesAndForgetsGoneOnes(t *testing.T) {
	var rr balance.RoundRobin
	order(&rr, instances(nil, "a", "b", "c"), 2)
	require.Equal(t, map[string]int{"a": 3, "b": 3, "c": 3, "d": 3}, counts(&rr, instances(nil, "a", "b", "c", "d"), 12))
	require.Equal(t, map[string]int{"d": 5}, counts(&rr, instances(nil, "d"), 5))
}

func TestPoliciesShareEvenlyAmongGoroutines(t *testing.T) {
	for name, p := range map[string]balance.Policy{
		"round robin":          new(balance.RoundRobin),
		"weighted round robin": new(balance.WeightedRoundRobin),
	} {
		t.Run(name, func(t *testing.T) {
			set := instances(nil, "a", "b", "c", "d")
			var mu sync.Mutex
			sum := make(map[string]int)
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					mine := counts(p, set, 100)
					mu.Lock()
					defer mu.Unlock()
					for id, n := range mine {
						sum[id] += n
					}
				})
			}
			wg.Wait()
			require.Equal(t, map[string]int{"a": 200, "b": 200, "c": 200, "d": 200}, sum)
		})
	}
}

func TestWeightedRoundRobinIsSmooth(t *testing.T) {
	set := instances(map[string]int{"a": 5}, "a", "b", "c")
	require.Equal(t, "a a b a c a a a a b a c a a", order(new(balance.WeightedRoundRobin), set, 14))
}

func TestWeightedRoundRobinSharesByWeight(t *testing.T) {
	for _, c := range []struct {
		name    string
		weights map[string]int
		want    map[string]int
	}{
		{"no weights", nil, map[string]int{"a": 200, "b": 200, "c": 200}},
		{"zero and less mean one", map[string]int{"a": 0, "b": -7, "c": 1}, map[string]int{"a": 200, "b": 200, "c": 200}},
		{"weights", map[string]int{"a": 1, "b": 2, "c": 3}, map[string]int{"a": 100, "b": 200, "c": 300}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, counts(new(balance.WeightedRoundRobin), instances(c.weights, "a", "b", "c"), 600))
		})
	}
}

func TestWeightedRoundRobinKeepsItsPlaceWhenTheSetChanges(t *testing.T) {
	weights := map[string]int{"a": 3, "b": 3}
	var w balance.WeightedRoundRobin
	require.Equal(t, "a", order(&w, instances(weights, "a", "b"), 1))
	require.Equal(t, "b", order(&w, instances(weights, "a", "b", "c"), 1), "a began, so it is b's turn, whoever joins")
	require.Equal(t, "b", order(&w, instances(weights, "b"), 1), "a and c left")
}

func TestWeightedRoundRobinFollowsAWeightThatChanges(t *testing.T) {
	var w balance.WeightedRoundRobin
	counts(&w, instances(nil, "a", "b"), 10)
	require.Equal(t, map[string]int{"a": 90, "b": 10}, counts(&w, instances(map[string]int{"a": 9}, "a", "b"), 100))
}

func TestPickAllocatesNothing(t *testing.T) {
	set := instances(map[string]int{"b": 2}, "a", "b", "c")
	for name, p := range policies() {
		p.Pick(set)
		require.Zero(t, testing.AllocsPerRun(100, func() { p.Pick(set) }), name)
	}
}

func counts(p balance.Policy, set []registry.Instance, n int) map[string]int {
	count := make(map[string]int)
	for range n {
		count[p.Pick(set).ID]++
	}
	return count
}

func policies() map[string]balance.Policy {
	return map[string]balance.Policy{"RoundRobin": new(balance.RoundRobin), "WeightedRoundRobin": new(balance.WeightedRoundRobin)}
}

func BenchmarkPick(b *testing.B) {
	set := instances(map[string]int{"b": 2}, "a", "b", "c", "d", "e", "f", "g", "h")
	for name, p := range policies() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					p.Pick(set)
				}
			})
		})
	}
}
