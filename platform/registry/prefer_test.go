package registry_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/registry"
)

// ids are those of a set.
func ids(set []registry.Instance) []string {
	var out []string
	for _, in := range set {
		out = append(out, in.ID)
	}
	return out
}

func TestPreferSpillsOverOnlyWhenNobodyIsNear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said := spoken{sets: make(chan []registry.Instance)}
		ctx, stop := context.WithCancel(t.Context())
		seen := make(chan []string, 10)
		go func() {
			defer close(seen)
			for set, err := range registry.Prefer(said, "eu").Watch(ctx, "greeter") {
				if err != nil {
					seen <- []string{err.Error()}
					continue
				}
				seen <- ids(set)
			}
		}()
		near, far, farther := registry.Instance{ID: "a", Zone: "eu"}, registry.Instance{ID: "b", Zone: "us"}, registry.Instance{ID: "c", Zone: "us"}
		said.sets <- []registry.Instance{near, far}
		require.Equal(t, []string{"a"}, <-seen, "the own zone alone")
		said.sets <- []registry.Instance{near, far, farther} // no news: nothing of it is near
		said.sets <- []registry.Instance{far, farther}
		require.Equal(t, []string{"b", "c"}, <-seen, "nobody is near: all")
		said.sets <- nil
		require.Equal(t, []string{"away"}, <-seen, "errors pass")
		said.sets <- []registry.Instance{near, far}
		require.Equal(t, []string{"a"}, <-seen, "back home")
		stop()
		<-seen
	})
}

func TestNoZonePrefersNothing(t *testing.T) {
	reg := registry.NewMemory().Host("here")
	require.Equal(t, reg, registry.Prefer(reg, ""))
}

func TestParseSelector(t *testing.T) {
	s, err := registry.ParseSelector("tag:a, tag:b,zone:eu,version:v1,version:v2")
	require.NoError(t, err)
	require.Equal(t, registry.Selector{Tags: []string{"a", "b"}, Zones: []string{"eu"}, Versions: []string{"v1", "v2"}}, s)
	for _, wrong := range []string{"", "tag", "tag:", "colour:red"} {
		_, err := registry.ParseSelector(wrong)
		require.Error(t, err, wrong)
	}
}
