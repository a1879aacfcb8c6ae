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
)

// spoken is a registry that says what a test has it say.
type spoken struct {
	registry.Registry
	sets chan []registry.Instance // nil: an error
}

func (s spoken) Watch(ctx context.Context, _ string) iter.Seq2[[]registry.Instance, error] {
	return func(yield func([]registry.Instance, error) bool) {
		for {
			select {
			case set := <-s.sets:
				var err error
				if set == nil {
					err = errors.New("away")
				}
				if !yield(set, err) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

func TestTrackTellsWhatIsBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said := spoken{sets: make(chan []registry.Instance)}
		reg := registry.Track(said)
		status := func() []registry.Status { synctest.Wait(); return reg.(registry.Reporter).Status() }
		require.Empty(t, status(), "nobody watches")
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for range reg.Watch(ctx, "greeter") {
			}
		}()
		require.Equal(t, []registry.Status{{Role: "greeter", State: registry.Unknown}}, status())

		said.sets <- []registry.Instance{{ID: "a"}, {ID: "b"}}
		time.Sleep(time.Minute)
		require.Equal(t, []registry.Status{{Role: "greeter", State: registry.Fresh, Instances: 2, Age: time.Minute}}, status())

		said.sets <- nil
		got := status()
		require.EqualError(t, got[0].Err, "away")
		require.Equal(t, registry.Stale, got[0].State)
		require.Equal(t, 2, got[0].Instances, "the set stays")

		said.sets <- []registry.Instance{}
		require.Equal(t, []registry.Status{{Role: "greeter", State: registry.EmptyConfirmed}}, status())

		stop()
		<-ended
		require.Empty(t, status(), "nobody watches any more")
	})
}

func TestTrackLeavesAReporterAsItIs(t *testing.T) {
	once := registry.Track(registry.NewMemory().Host("here"))
	require.Same(t, once, registry.Track(once))
}
