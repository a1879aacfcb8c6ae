package integration

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/app"
	"example.com/app/platform/registry"
	"example.com/app/sim/fleet"
)

// beside is a second fleet on the ground of a world, whose nodes differ.
func (w *world) beside(change func(*app.Config)) *fleet.Fleet {
	cfg := w.Settings()
	change(&cfg)
	f := fleet.New(w.ground, cfg)
	w.t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestCallsStayInTheZoneAsLongAsItHasInstances(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.settings(func(c *app.Config) { c.Zone, c.PreferZone = "here", true })
		there := w.beside(func(c *app.Config) { c.Zone = "there" })
		w.start("phrasebook-1", "greeter-1", "gateway-1")
		require.NoError(t, there.Start(t.Context(), "greeter-2"))
		for range 200 {
			_, err := w.greet("Ada", "en")
			require.NoError(t, err)
		}
		require.NotZero(t, w.calls("greeter-1"))
		if w.virtual { // a busy machine's hiccups make a zone look slow, which calls may leave
			require.Less(t, w.calls("greeter-2"), 15, "the other zone is spared, but for one call in a hundred that tells how fast it is")
		}

		require.NoError(t, w.Fleet.Stop("greeter-1"))
		w.eventually(10*time.Second, "calls spill over", func() bool { _, err := w.greet("Ada", "en"); return err == nil })
		require.NotZero(t, w.calls("greeter-2"))
		require.NoError(t, there.Close())
	})
}

func TestAClientCallsTheInstancesItSelects(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.settings(func(c *app.Config) {
			c.Select = map[string]registry.Selector{"greeter": {Tags: []string{"canary"}}}
		})
		canary := w.beside(func(c *app.Config) { c.Tags = []string{"canary"} })
		w.start("phrasebook-1", "greeter-1")
		require.NoError(t, canary.Start(t.Context(), "greeter-2"))
		w.start("gateway-1")
		w.eventually(10*time.Second, "the canary is known", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := w.Get(ctx, "/v1/greetings/Ada")
			return err == nil
		})
		for range 20 {
			_, err := w.greet("Ada", "en")
			require.NoError(t, err)
		}
		require.Zero(t, w.calls("greeter-1"), "not selected")
		delete(w.idle, "greeter-1")
		require.NoError(t, canary.Close())
	})
}
