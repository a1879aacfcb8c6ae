package balance_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/balance"
	"example.com/app/platform/registry"
)

func fleet(n int) []registry.Instance {
	set := make([]registry.Instance, n)
	for i := range set {
		set[i].ID = fmt.Sprintf("i%03d", i)
	}
	return set
}

func TestASubsetIsTheSameForTheSameClient(t *testing.T) {
	set := fleet(50)
	a := balance.Subset(slices.Clone(set), "gateway-1", 10)
	require.Len(t, a, 10)
	backwards := slices.Clone(set)
	slices.Reverse(backwards)
	require.Equal(t, a, balance.Subset(backwards, "gateway-1", 10))
	require.NotEqual(t, a, balance.Subset(set, "gateway-2", 10))
	require.True(t, slices.IsSortedFunc(a, func(x, y registry.Instance) int { return compare(x.ID, y.ID) }))
	for _, all := range []int{0, -1, 50, 51} {
		require.Equal(t, set, balance.Subset(set, "gateway-1", all))
	}
}

func compare(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

func TestASubsetChangesByAtMostOneWhenOneInstanceGoes(t *testing.T) {
	set := fleet(50)
	for client := range 20 {
		before := balance.Subset(slices.Clone(set), fmt.Sprint(client), 10)
		for gone := range set {
			after := balance.Subset(slices.Delete(slices.Clone(set), gone, gone+1), fmt.Sprint(client), 10)
			moved := 0
			for _, in := range after {
				if !slices.ContainsFunc(before, in.Equal) {
					moved++
				}
			}
			require.LessOrEqual(t, moved, 1)
		}
	}
}

func TestSubsetsOfManyClientsCoverTheFleetAboutEvenly(t *testing.T) {
	set, count := fleet(20), make(map[string]int)
	for client := range 1000 {
		for _, in := range balance.Subset(slices.Clone(set), fmt.Sprint(client), 5) {
			count[in.ID]++
		}
	}
	for id, n := range count {
		require.InDelta(t, 250, n, 60, id)
	}
	require.Len(t, count, 20)
}
