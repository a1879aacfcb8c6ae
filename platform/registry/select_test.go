package registry_test

import (
	"context"
	"errors"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/registry"
	"example.com/app/platform/registry/registrytest"
)

func TestSelectorWantsAllTagsAndOneOfTheRest(t *testing.T) {
	in := registry.Instance{Tags: []string{"a", "b"}, Zone: "north", Version: "v1"}
	for name, c := range map[string]struct {
		selector registry.Selector
		want     bool
	}{
		"nothing":       {registry.Selector{}, true},
		"a tag":         {registry.Selector{Tags: []string{"b"}}, true},
		"both tags":     {registry.Selector{Tags: []string{"b", "a"}}, true},
		"one tag more":  {registry.Selector{Tags: []string{"a", "b", "c"}}, false},
		"its zone":      {registry.Selector{Zones: []string{"south", "north"}}, true},
		"another zone":  {registry.Selector{Zones: []string{"south"}}, false},
		"its version":   {registry.Selector{Versions: []string{"v1"}}, true},
		"other version": {registry.Selector{Tags: []string{"a"}, Zones: []string{"north"}, Versions: []string{"v2"}}, false},
	} {
		require.Equal(t, c.want, c.selector.Matches(in), name)
	}
}

func TestSelectedWatchYieldsOnlyWhatIsWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := registry.NewMemory().Host("here")
		ctx, cancel := context.WithCancel(t.Context())
		begin := func(id, zone string) context.CancelFunc {
			ctx, leave := context.WithCancel(ctx)
			go func() {
				_ = memory.Register(ctx, registry.Registration{
					Instance: registry.Instance{ID: id, Role: "shop", Addr: "h:1", Zone: zone},
				})
			}()
			synctest.Wait()
			return leave
		}
		var yielded [][]string
		go func() {
			for set, err := range registry.Select(memory, registry.Selector{Zones: []string{"north"}}).Watch(ctx, "shop") {
				require.NoError(t, err)
				ids := []string{}
				for _, in := range set {
					ids = append(ids, in.ID)
				}
				yielded = append(yielded, ids)
			}
		}()
		synctest.Wait()
		leave := begin("n1", "north")
		begin("s1", "south")
		begin("s2", "south")
		leave()
		synctest.Wait()
		cancel()
		synctest.Wait()
		require.Equal(t, [][]string{{}, {"n1"}, {}}, yielded, "the first set as soon as it is known; no news of the south")
	})
}

// A script yields what is written in it and waits.
type script []any

func (script) Register(context.Context, registry.Registration) error { return nil }

func (s script) Watch(context.Context, string) iter.Seq2[[]registry.Instance, error] {
	return func(yield func([]registry.Instance, error) bool) {
		for _, line := range s {
			set, _ := line.([]registry.Instance)
			err, _ := line.(error)
			if !yield(set, err) {
				return
			}
		}
	}
}

func TestSelectedWatchHandsErrorsOn(t *testing.T) {
	down := errors.New("down")
	var got []error
	for set, err := range registry.Select(script{down, []registry.Instance{{ID: "a"}}, down}, registry.Selector{}).Watch(t.Context(), "") {
		require.Equal(t, err == nil, len(set) == 1)
		got = append(got, err)
		if len(got) == 3 {
			break
		}
	}
	require.Equal(t, []error{down, nil, down}, got)
	for range registry.Select(script{down, down}, registry.Selector{}).Watch(t.Context(), "") {
		break
	}
}

func TestSelectionOfEverythingIsARegistry(t *testing.T) {
	registrytest.RunInBubble(t, func(t *testing.T) registry.Registry {
		return registry.Select(memory(t), registry.Selector{})
	})
	registrytest.Run(t, func(*testing.T) registry.Registry {
		return registry.Select((&registry.Memory{TTL: time.Second}).Host("here"), registry.Selector{})
	})
}
