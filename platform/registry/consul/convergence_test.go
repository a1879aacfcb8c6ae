package consul_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/registry/consul"
)

// TestConvergenceInVirtualTime is how long a watcher is behind, with a network
// and a Consul that take no time: what is left are our own waits. The README
// states these figures.
func TestConvergenceInVirtualTime(t *testing.T) {
	play(t, func(w *world) {
		v := w.watch(w.open(consul.Config{}))
		took := func(change func(), want ids) time.Duration {
			w.after(5 * time.Minute) // it is quiet, as it is most of the time
			start := time.Now()
			change()
			for !slices.Equal(v.last(), want) {
				require.Less(w, time.Since(start), time.Minute)
				w.after(time.Millisecond)
			}
			return time.Since(start).Truncate(10 * time.Millisecond)
		}
		visible := took(func() { w.add("a") }, ids{"a"})
		w.add("b")
		gone := took(func() { w.remove("b") }, ids{"a"})
		last := took(func() { w.remove("a") }, ids{})
		w.add("a")
		back := took(func() {
			w.stop()
			w.after(30 * time.Second)
			w.add("c")
			w.start()
		}, ids{"a", "c"}) - 30*time.Second
		w.Logf("visible after %v, gone after %v, the last one gone after %v, recovered %v after an outage of 30s", visible, gone, last, back)
		require.Zero(w, visible)
		require.Zero(w, gone)
		require.InDelta(w, 10*time.Second, last, float64(time.Second), "the hold of W1")
		require.LessOrEqual(w, back, 10*time.Second)
	})
}
