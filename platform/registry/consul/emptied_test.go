package consul_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/registry/consul"
	"example.com/app/platform/registry/consul/consultest/fake"
)

// forgetful answers that there is nobody while it is on. It ends without
// anybody noticing: questions under way wait on.
type forgetful struct{ on *atomic.Bool }

func (forgetful) String() string { return "forgetful" }

// Spoil implements fake.Fault.
func (f forgetful) Spoil(x *fake.Exchange, next func(*fake.Exchange)) {
	if f.on.Load() {
		fake.Keep(0).Spoil(x, next)
		return
	}
	next(x)
}

func TestARoleThatWasEmptiedIsLookedAtAgainSoon(t *testing.T) {
	play(t, func(w *world) {
		w.add("a", "b")
		v := w.watch(w.open(consul.Config{}))
		on := new(atomic.Bool)
		on.Store(true)
		defer w.agent.Inject(forgetful{on})()
		w.after(20 * time.Second)
		v.yielded(ids{"a", "b"}, ids{}) // longer than the hold: it is believed
		on.Store(false)
		w.after(6 * time.Second)
		v.yielded(ids{"a", "b"}, ids{}, ids{"a", "b"}) // at the index that it had before
		require.Equal(t, "fresh", v.state().State)
	})
}
