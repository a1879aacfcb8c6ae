// Package registrytest says what every registry.Registry does, as tests.
//
// The same cases run in real time and in a testing/synctest bubble. They wait
// for what Watch yields and never sleep, so they are as fast as the registry.
package registrytest

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/registry"
)

// within is how long a change may take to be seen: longer than the TTL and the
// hold for empty answers of any registry under test.
const within = 30 * time.Second

// Run checks a registry in real time. Open is called once for every case; the
// registries it returns may share a server, since cases share no role.
func Run(t *testing.T, open func(*testing.T) registry.Registry) {
	run(t, real, open)
}

// RunInBubble is Run with every case in a bubble of its own, Open included. A
// goroutine that outlives its case fails it.
func RunInBubble(t *testing.T, open func(*testing.T) registry.Registry) {
	run(t, synctest.Test, open)
}

// RunList checks a registry whose list is given when it is opened, and on
// which Register changes nothing, in real time and in a bubble.
func RunList(t *testing.T, open func(t *testing.T, list []registry.Instance) registry.Registry) {
	for _, w := range []struct {
		name string
		in   world
	}{{"real", real}, {"bubble", synctest.Test}} {
		for _, c := range listCases {
			t.Run(w.name+"/"+c.name, func(t *testing.T) {
				w.in(t, func(t *testing.T) { c.check(newBench(t, open(t, c.list(c.name)), c.name)) })
			})
		}
	}
}

// A world runs a case in real or in virtual time.
type world func(*testing.T, func(*testing.T))

func real(t *testing.T, f func(*testing.T)) { f(t) }

func run(t *testing.T, in world, open func(*testing.T) registry.Registry) {
	for _, c := range listCases {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				b := newBench(t, open(t), c.name)
				for _, instance := range c.list(c.name) {
					b.register(registry.Registration{Instance: instance})
				}
				c.check(b)
			})
		})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(t *testing.T) { c.check(newBench(t, open(t), c.name)) })
		})
	}
}

// A bench is what one case works with.
type bench struct {
	*testing.T
	registry.Registry
	role string // of this case alone
}

func newBench(t *testing.T, r registry.Registry, role string) *bench {
	before := goroutines()
	t.Cleanup(func() { requireNoMore(t, before) })
	return &bench{t, r, role}
}

// requireNoMore waits until no goroutine but those of before runs code of a
// registry. In a bubble testing/synctest has a stricter eye on it.
func requireNoMore(t *testing.T, before map[string]string) {
	deadline := time.Now().Add(within)
	for {
		more := goroutines()
		maps.DeleteFunc(more, func(id, _ string) bool { return before[id] != "" })
		if len(more) == 0 {
			return
		}
		require.True(t, time.Now().Before(deadline), "goroutines outlive their callers: %v", more)
		pause := time.NewTimer(5 * time.Millisecond)
		<-pause.C
	}
}

// goroutines returns the stacks of all that run code of a registry, by id.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	all := map[string]string{}
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		id, _, _ := strings.Cut(stack, " [")
		if strings.Contains(stack, "platform/registry") && !strings.Contains(stack, "testing.tRunner(") {
			all[id] = stack
		}
	}
	return all
}

// instance is a plain one of the role of the case.
func (b *bench) instance(id string) registry.Instance { return plain(b.role, id) }

// plain is an instance with an address of its own: a registry may take two
// instances at one address for one that has restarted.
func plain(role, id string) registry.Instance {
	return registry.Instance{ID: role + "-" + id, Role: role, Addr: fmt.Sprintf("127.0.0.1:%d", 10000+int(id[0]))}
}

// A registered is a registration under way.
type registered struct {
	b     *bench
	stop  context.CancelFunc
	fates chan error // what Report told, as much as fits
	done  chan error // what Register returned
}

// register begins a registration that ends with the case at the latest.
func (b *bench) register(r registry.Registration) *registered {
	ctx, stop := context.WithCancel(context.Background())
	reg := &registered{b, stop, make(chan error, 100), make(chan error, 1)}
	r.Report = func(err error) {
		select {
		case reg.fates <- err:
		default:
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		reg.done <- b.Register(ctx, r)
	}()
	b.Cleanup(func() { stop(); <-ended })
	return reg
}

// leave ends a registration and wants a clean departure.
func (r *registered) leave() {
	r.b.Helper()
	r.stop()
	require.NoError(r.b, receive(r.b, r.done, "Register to return"))
}

// receive waits for a value, but not for ever.
func receive[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case v := <-c:
		return v
	case <-timer.C:
		require.FailNow(t, "waited "+within.String()+" in vain for "+what)
		panic("unreachable")
	}
}
