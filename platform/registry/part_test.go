package registry_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/registry"
)

func TestAChangeAmongThoseThatAreLeftOutIsNone(t *testing.T) {
	set := func(ids ...string) []registry.Instance {
		out := make([]registry.Instance, len(ids))
		for i, id := range ids {
			out[i].ID = id
		}
		return out
	}
	var roles, yielded []string
	firstTwo := registry.Part(script{set("a", "b", "c"), set("a", "b"), set("a", "b", "d"), set("b", "d"), set()}, func(role string, set []registry.Instance) []registry.Instance {
		roles = append(roles, role)
		return set[:min(2, len(set))]
	})
	for set, err := range firstTwo.Watch(t.Context(), "shop") {
		require.NoError(t, err)
		ids := ""
		for _, in := range set {
			ids += in.ID
		}
		yielded = append(yielded, ids)
	}
	require.Equal(t, []string{"ab", "bd", ""}, yielded)
	require.Equal(t, []string{"shop", "shop", "shop", "shop", "shop"}, roles)
}
