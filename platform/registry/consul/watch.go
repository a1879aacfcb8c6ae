package consul

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"example.com/app/platform/errs"
	"example.com/app/platform/registry"
)

// refresh is how often a silent watch asks for the whole list, in case that a
// change was lost on the way.
const refresh = 5 * time.Minute

// A watch asks for one role on behalf of all its readers.
type watch struct {
	registry *Registry
	role     string
	cancel   context.CancelFunc
	done     chan struct{}
	readers  int // guarded by registry.mu

	// Of the goroutine that runs the watch.
	rand      *rand.Rand
	index     uint64    // to wait for a change of; 0: answer at once
	listed    time.Time // when index was 0 last
	doubted   time.Time // when the empty answers began; zero: not
	confirmed bool      // the emptiness, by a consistent answer

	mu      sync.Mutex
	now     view
	fresh   time.Time     // of the last answer; zero: none yet
	pending bool          // an empty answer is doubted
	changed chan struct{} // closed at the next change of now
}

// A view is what readers are told.
type view struct {
	set    []registry.Instance // never written to
	known  bool
	err    error // of the outage; nil: Consul answers
	outage int   // counts outages, and changes of their reason
}

func newWatch(r *Registry, role string, cancel context.CancelFunc) *watch {
	return &watch{
		registry: r, role: role, cancel: cancel, done: make(chan struct{}),
		rand: r.random("watch " + role), changed: make(chan struct{}),
	}
}

// look returns the view, and a channel that is closed when it has changed.
func (w *watch) look() (view, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now, w.changed
}

// run asks until ctx ends.
func (w *watch) run(ctx context.Context) {
	defer close(w.done)
	pace := newBucket()
	back := backoff{rand: w.rand, most: 10 * time.Second}
	for pace.take(ctx) {
		if err := w.turn(ctx); err == nil {
			back.reset()
		} else if ctx.Err() == nil {
			w.fail(err)
			pause(ctx, back.next())
		}
	}
}

// turn asks once and believes the answer, or not.
func (w *watch) turn(ctx context.Context) error {
	if time.Since(w.listed) >= refresh {
		w.index = 0
	}
	a, err := w.ask(ctx, question{index: w.index, wait: w.patience(), stale: true})
	if err == nil && a.lag > maxLag {
		a, err = w.askConsistently(ctx, a)
	}
	if err == nil && len(a.set) == 0 && w.had() && !w.confirmed {
		a, err = w.ask(ctx, question{})
		w.confirmed = err == nil
	}
	if err != nil {
		// A server that lost its state may count from below, and may be empty
		// for a while, however long ago the doubts began.
		w.index, w.doubted, w.confirmed = 0, time.Time{}, false
		return err
	}
	w.advance(a.index)
	w.believe(a.set)
	return nil
}

// maxLag is how far a follower may be behind its leader.
const maxLag = 10 * time.Second

// askConsistently asks the leader in place of a follower that lags. Where that
// fails, the laggard's answer is better than none to a reader who has none.
func (w *watch) askConsistently(ctx context.Context, laggard answer) (answer, error) {
	a, err := w.ask(ctx, question{})
	if err != nil && !w.isKnown() {
		w.publish(laggard.set)
	}
	return a, err
}

// advance takes note of the index of an answer, as Consul's documentation of
// blocking queries asks for: one that goes back starts over, and 0 would make
// the next query return at once for ever.
func (w *watch) advance(index uint64) {
	if w.index == 0 {
		w.listed = time.Now()
	}
	if index < w.index {
		w.index = 0
		return
	}
	w.index = max(index, 1)
}

// patience is how long the next query may be held: an empty answer in doubt
// wants another look when its time is up.
func (w *watch) patience() time.Duration {
	wait := w.registry.config.Wait
	if w.doubted.IsZero() {
		return wait
	}
	left := w.registry.config.Hold - time.Since(w.doubted)
	return min(wait, max(left, 10*time.Millisecond))
}

// had reports whether readers were told of any instance.
func (w *watch) had() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.now.set) > 0
}

func (w *watch) isKnown() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now.known
}

// believe publishes an answer. One that is suddenly empty may come from a
// server that has just lost everything: it must stay so for a while.
func (w *watch) believe(set []registry.Instance) {
	if len(set) > 0 || !w.had() {
		w.doubted, w.confirmed = time.Time{}, false
		w.publish(set)
		return
	}
	if w.doubted.IsZero() {
		w.doubted = time.Now()
	}
	if time.Since(w.doubted) >= w.registry.config.Hold {
		w.doubted, w.confirmed = time.Time{}, false
		w.publish(nil)
		return
	}
	w.doubt()
}

// doubt keeps what readers believe in spite of an empty answer.
func (w *watch) doubt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fresh, w.pending = time.Now(), true
	if w.now.err != nil {
		w.now.err = nil
		w.tell()
	}
}

// publish tells the readers a set.
func (w *watch) publish(set []registry.Instance) {
	w.mu.Lock()
	before := w.now
	w.fresh, w.pending = time.Now(), false
	w.now.set, w.now.known, w.now.err = set, true, nil
	news := !before.known || !registry.Same(before.set, set)
	if news || before.err != nil {
		w.tell()
	}
	w.mu.Unlock()
	if news {
		w.registry.metrics.updates.WithLabelValues(w.role).Inc()
	}
	if before.err != nil {
		w.registry.config.Log.Info("consul answers again", "role", w.role, "instances", len(set))
	}
}

// fail tells the readers that Consul cannot be asked, once for each reason.
func (w *watch) fail(err error) {
	w.registry.metrics.errors.WithLabelValues(w.role).Inc()
	w.mu.Lock()
	before := w.now.err
	news := before == nil || errs.Of(before) != errs.Of(err)
	if news {
		w.now.err = err
		w.now.outage++
		w.tell()
	}
	kept := len(w.now.set)
	w.mu.Unlock()
	if news {
		w.registry.config.Log.Warn("consul does not answer", "role", w.role, "kept", kept, "error", err)
	}
}

// tell wakes the readers. The caller holds w.mu.
func (w *watch) tell() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// status returns what readers believe.
func (w *watch) status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := Status{Role: w.role, Instances: len(w.now.set), Err: w.now.err}
	if !w.fresh.IsZero() {
		s.Age = time.Since(w.fresh)
	}
	switch {
	case !w.now.known:
		s.State = "unknown"
	case w.now.err != nil:
		s.State = "stale"
	case w.pending:
		s.State = "empty-pending"
	case len(w.now.set) == 0:
		s.State = "empty-confirmed"
	default:
		s.State = "fresh"
	}
	return s
}
