package registrytest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/registry"
)

// A watcher is a Watch loop under way. It checks on every set what holds for
// all sets.
type watcher struct {
	b    *bench
	stop context.CancelFunc
	done chan struct{}

	mu   sync.Mutex
	sets [][]registry.Instance // yielded and not yet looked at
	news chan struct{}         // holds a token when there are some
}

// watch begins a loop over the role of the case that ends with it.
func (b *bench) watch() *watcher { return b.watchRole(b.role) }

func (b *bench) watchRole(role string) *watcher { return b.watchSlowly(role, func() {}) }

// watchSlowly is watchRole with a loop that calls pause in every turn, before
// it takes note of the set.
func (b *bench) watchSlowly(role string, pause func()) *watcher {
	ctx, stop := context.WithCancel(context.Background())
	w := &watcher{b: b, stop: stop, done: make(chan struct{}), news: make(chan struct{}, 1)}
	go func() {
		defer close(w.done)
		var last []registry.Instance
		first := true
		for set, err := range b.Watch(ctx, role) {
			if err != nil {
				assert.Empty(b, set, "an error brings no set")
				continue
			}
			assert.True(b, slices.IsSortedFunc(set, byID), "sorted by id, each once: %v", ids(set))
			assert.False(b, !first && registry.Same(last, set), "an equal set is not news: %v", ids(set))
			first, last = false, slices.Clone(set)
			pause()
			w.note(set)
		}
	}()
	b.Cleanup(func() { stop(); <-w.done })
	return w
}

// byID lets no two equal ids pass for sorted.
func byID(a, b registry.Instance) int {
	if a.ID == b.ID {
		return 1
	}
	return strings.Compare(a.ID, b.ID)
}

func (w *watcher) note(set []registry.Instance) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sets = append(w.sets, set)
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// next waits for the next set that was yielded.
func (w *watcher) next() []registry.Instance {
	w.b.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for {
		if set, ok := w.take(); ok {
			return set
		}
		select {
		case <-w.news:
		case <-deadline.C:
			require.FailNow(w.b, "waited "+within.String()+" in vain for a set")
		}
	}
}

func (w *watcher) take() ([]registry.Instance, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.sets) == 0 {
		return nil, false
	}
	set := w.sets[0]
	w.sets = w.sets[1:]
	return set, true
}

// until waits for a set of exactly these ids, without the role's prefix, and
// returns it.
func (w *watcher) until(want ...string) []registry.Instance {
	w.b.Helper()
	return w.untilSet(strings.Join(want, " "), func(set []registry.Instance) bool {
		return slices.Equal(short(set), want)
	})
}

// untilSet waits for a set that is right.
func (w *watcher) untilSet(what string, right func([]registry.Instance) bool) []registry.Instance {
	w.b.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	var seen [][]string
	for {
		for set, ok := w.take(); ok; set, ok = w.take() {
			if right(set) {
				return set
			}
			seen = append(seen, short(set))
		}
		select {
		case <-w.news:
		case <-deadline.C:
			require.FailNow(w.b, "waited "+within.String()+" in vain", "for [%s], saw %v", what, seen)
		}
	}
}

func ids(set []registry.Instance) []string {
	var out []string
	for _, in := range set {
		out = append(out, in.ID)
	}
	return out
}

// short is the ids of a set without the prefix that keeps cases apart.
func short(set []registry.Instance) []string {
	var out []string
	for _, in := range set {
		out = append(out, strings.TrimPrefix(in.ID, in.Role+"-"))
	}
	return out
}
