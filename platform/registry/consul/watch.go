package consul

import (
	"context"
	"sync"
	"time"

	"example.com/app/platform/errs"
	"example.com/app/platform/registry"
)

// A watch gathers what is asked about one role on behalf of all its readers: a
// line of questions for each datacentre.
type watch struct {
	registry *Registry
	role     string
	cancel   context.CancelFunc
	done     chan struct{}
	readers  int // guarded by registry.mu
	lines    []*line

	mu      sync.Mutex
	now     view
	changed chan struct{} // closed at the next change of now
}

// A view is what readers are told.
type view struct {
	set    []registry.Instance // never written to
	known  bool
	err    error // of the outage; nil: Consul answers
	outage int   // counts outages, and changes of their reason
}

// news is what one line has learnt, guarded by watch.mu.
type news struct {
	set     []registry.Instance // never written to
	known   bool
	err     error     // of the last question; nil: it was answered
	fresh   time.Time // of the last answer; zero: none yet
	index   uint64    // of Consul, in the last answer
	pending bool      // an empty answer is doubted
	panic   bool      // no instance passes, and the set is of those that do not
}

func newWatch(r *Registry, role string, cancel context.CancelFunc) *watch {
	w := &watch{registry: r, role: role, cancel: cancel, done: make(chan struct{}), changed: make(chan struct{})}
	for _, dc := range r.config.Datacenters {
		w.lines = append(w.lines, &line{watch: w, datacenter: dc, rand: r.random("watch " + role + " " + dc)})
	}
	return w
}

// run asks until ctx ends.
func (w *watch) run(ctx context.Context) {
	defer close(w.done)
	var lines sync.WaitGroup
	for _, l := range w.lines {
		lines.Go(func() { l.run(ctx) })
	}
	lines.Wait()
}

// look returns the view, and a channel that is closed when it has changed.
func (w *watch) look() (view, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now, w.changed
}

// learn changes what a line knows and tells the readers what that changes for
// them.
func (w *watch) learn(l *line, change func(*news)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := l.news.err
	change(&l.news)
	fresh := w.merge()
	if fresh {
		w.registry.metrics.updates.WithLabelValues(w.role).Inc()
	}
	again := (before == nil) != (l.news.err == nil) || before != nil && errs.Of(before) != errs.Of(l.news.err)
	if again {
		w.now.err = w.trouble()
		if l.news.err != nil {
			w.now.err = l.news.err
			w.now.outage++
		}
	}
	if fresh || again {
		close(w.changed)
		w.changed = make(chan struct{})
	}
}

// trouble is why the first line that is not answered is not. The caller holds
// w.mu.
func (w *watch) trouble() error {
	for _, l := range w.lines {
		if l.news.err != nil {
			return l.news.err
		}
	}
	return nil
}

// merge puts together what the lines know, and reports whether that is news.
// One that has no answer yet keeps the first set back, which would be a part
// of the whole; one that fails does not. The caller holds w.mu.
func (w *watch) merge() bool {
	var sets []datacenterSet
	for _, l := range w.lines {
		if !l.news.known && l.news.err == nil {
			return false
		}
		if l.news.known {
			sets = append(sets, datacenterSet{l.datacenter, l.news.set})
		}
	}
	set := union(sets)
	if len(sets) == 0 || w.now.known && registry.Same(w.now.set, set) {
		return false
	}
	w.now.set, w.now.known = set, true
	return true
}

// status returns what readers believe: of several lines the oldest news.
func (w *watch) status() registry.Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := registry.Status{Role: w.role, Instances: len(w.now.set), Err: w.now.err}
	var pending, panicking bool
	for _, l := range w.lines {
		if !l.news.fresh.IsZero() {
			s.Age = max(s.Age, time.Since(l.news.fresh))
		}
		s.Index = max(s.Index, l.news.index)
		pending, panicking = pending || l.news.pending, panicking || l.news.panic
	}
	switch {
	case !w.now.known:
		s.State = registry.Unknown
	case w.now.err != nil:
		s.State = registry.Stale
	case panicking:
		s.State = registry.Panic
	case pending:
		s.State = registry.EmptyPending
	case len(w.now.set) == 0:
		s.State = registry.EmptyConfirmed
	default:
		s.State = registry.Fresh
	}
	return s
}
