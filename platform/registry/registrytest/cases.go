package registrytest

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/registry"
)

// cases are the promises about Register and about change.
var cases = []struct {
	name  string
	check func(*bench)
}{
	{"leaves-when-its-context-ends", leaves},
	{"the-last-to-leave-is-noticed", lastLeaves},
	{"change-of-an-instance-is-noticed", changes},
	{"unhealthy-is-hidden-until-it-recovers", unhealthy},
	{"fate-is-reported", fateIsReported},
	{"slow-loop-gets-the-newest", slowLoop},
	{"many-watchers-see-the-same", manyWatchers},
	{"invalid-is-refused", invalid},
	{"ended-context-lists-nothing", endedContext},
	{"comes-after-the-watch-began", comesLater},
}

func leaves(b *bench) {
	w := b.watch()
	b.register(registry.Registration{Instance: b.instance("a")})
	other := b.register(registry.Registration{Instance: b.instance("b")})
	w.until("a", "b")
	other.leave()
	w.until("a")
}

func lastLeaves(b *bench) {
	w := b.watch()
	only := b.register(registry.Registration{Instance: b.instance("a")})
	w.until("a")
	only.leave()
	w.until()
}

func changes(b *bench) {
	w := b.watch()
	in := b.instance("a")
	first := b.register(registry.Registration{Instance: in})
	w.until("a")
	first.leave()
	in.Addr, in.Version, in.Meta = "127.0.0.1:20002", "v2", map[string]string{"colour": "blue"}
	b.register(registry.Registration{Instance: in})
	w.untilSet("the new address", func(set []registry.Instance) bool { return registry.Same(set, []registry.Instance{in}) })
}

func unhealthy(b *bench) {
	w := b.watch()
	b.register(registry.Registration{Instance: b.instance("well")})
	var sick atomic.Bool
	r := b.register(registry.Registration{Instance: b.instance("ill"), Health: func() error {
		if sick.Load() {
			return errs.Unavailable.New("under the weather")
		}
		return nil
	}})
	w.until("ill", "well")
	require.NoError(b, receive(b.T, r.fates, "the first report"))
	sick.Store(true)
	w.until("well")
	require.ErrorContains(b, receive(b.T, r.fates, "the bad news"), "under the weather")
	sick.Store(false)
	w.until("ill", "well")
	require.NoError(b, receive(b.T, r.fates, "the good news"))
}

func fateIsReported(b *bench) {
	r := b.register(registry.Registration{Instance: b.instance("a")})
	require.NoError(b, receive(b.T, r.fates, "the report"))
	require.Len(b, b.watch().next(), 1, "what is reported as listed is listed")
	r.leave()
	require.Empty(b, r.fates, "no change of fate, no report")
}

func slowLoop(b *bench) {
	gate, stuck := make(chan struct{}), make(chan struct{}, 1)
	open := sync.OnceFunc(func() { close(gate) })
	slow := b.watchSlowly(b.role, func() {
		select {
		case stuck <- struct{}{}:
		default:
		}
		<-gate
	})
	b.Cleanup(open)
	receive(b.T, stuck, "the first set")
	quick := b.watch()
	want := []string{}
	for _, id := range []string{"1", "2", "3", "4"} {
		b.register(registry.Registration{Instance: b.instance(id)})
		want = append(want, id)
		quick.until(want...)
	}
	open()
	for last := -1; last < 4; {
		n := len(slow.next())
		require.Greater(b, n, last, "an old set after a new one")
		last = n
	}
}

func manyWatchers(b *bench) {
	var all []*watcher
	for range 20 {
		all = append(all, b.watch())
	}
	r := b.register(registry.Registration{Instance: b.instance("a")})
	for _, w := range all {
		set := w.until("a")
		set[0].ID = "scribble" // a set is its reader's to keep
	}
	b.register(registry.Registration{Instance: b.instance("b")})
	for i, w := range all {
		w.until("a", "b")
		if i%2 == 0 {
			w.stop()
		}
	}
	r.leave()
	for i, w := range all {
		if i%2 == 1 {
			w.until("b")
		}
	}
}

func invalid(b *bench) {
	for name, in := range map[string]registry.Instance{
		"no id":       {Role: b.role, Addr: "127.0.0.1:1"},
		"no role":     {ID: "x", Addr: "127.0.0.1:1"},
		"no address":  {ID: "x", Role: b.role},
		"no port":     {ID: "x", Role: b.role, Addr: "127.0.0.1"},
		"any port":    {ID: "x", Role: b.role, Addr: "127.0.0.1:0"},
		"port's name": {ID: "x", Role: b.role, Addr: "127.0.0.1:http"},
		"field twice": {ID: "x", Role: b.role, Addr: "127.0.0.1:1", Meta: map[string]string{"zone": "z"}},
		"spaced key":  {ID: "x", Role: b.role, Addr: "127.0.0.1:1", Meta: map[string]string{"a b": ""}},
	} {
		r := b.register(registry.Registration{Instance: in})
		err := receive(b.T, r.done, "a refusal")
		assert.True(b, errs.Invalid.Is(err), "%s: %v", name, err)
	}
	require.Empty(b, b.watch().next())
}

func endedContext(b *bench) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.NoError(b, b.Register(ctx, registry.Registration{Instance: b.instance("a")}))
	for set, err := range b.Watch(ctx, b.role) {
		require.Fail(b, "a watch that is over yields", "%v %v", set, err)
	}
	require.Empty(b, b.watch().next())
}

func comesLater(b *bench) {
	w := b.watch()
	require.Empty(b, w.next(), "nobody is there: known at once")
	b.register(registry.Registration{Instance: b.instance("a")})
	w.until("a")
}

// elapsed runs f and says how long it took: nothing at all, in a bubble.
func elapsed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}
