package consul

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"example.com/app/platform/errs"
	"example.com/app/platform/registry"
)

// refresh is how often a silent line asks for the whole list, in case that a
// change was lost on the way.
const refresh = 5 * time.Minute

// maxLag is how far a follower may be behind its leader.
const maxLag = 10 * time.Second

// A line asks for the instances of a role in one datacentre, in one goroutine.
// Each line has an index of its own: those of two datacentres have nothing to
// do with each other.
type line struct {
	watch      *watch
	datacenter string // empty: that of the agent

	rand      *rand.Rand
	index     uint64    // to wait for a change of; 0: answer at once
	listed    time.Time // when index was 0 last
	doubted   time.Time // when the empty answers began; zero: not
	confirmed bool      // the emptiness, by a consistent answer
	emptied   bool      // there were instances, and their absence is believed

	news news // guarded by watch.mu
}

// run asks until ctx ends.
func (l *line) run(ctx context.Context) {
	pace := newBucket()
	back := backoff{rand: l.rand, most: 10 * time.Second}
	defer l.watch.registry.places.join()()
	for pace.take(ctx) {
		err := l.turn(ctx)
		switch {
		case err == nil:
			back.reset()
		case ctx.Err() == nil && !errors.Is(err, errCrowded):
			l.fail(err)
			pause(ctx, back.next())
		}
	}
}

// turn asks once and believes the answer, or not.
func (l *line) turn(ctx context.Context) error {
	if time.Since(l.listed) >= l.freshness() {
		l.index = 0
	}
	a, err := l.ask(ctx, question{index: l.index, wait: l.patience(), stale: true})
	if errors.Is(err, errCrowded) {
		return err
	}
	if err == nil && a.lag > maxLag {
		a, err = l.askConsistently(ctx, a)
	}
	if err == nil && len(a.set) == 0 && l.had() && !l.confirmed {
		a, err = l.ask(ctx, question{})
		l.confirmed = err == nil
	}
	desperate := false
	if err == nil && len(a.set) == 0 && l.watch.registry.config.Panic {
		a, desperate, err = l.askDesperately(ctx, a)
	}
	if err != nil {
		// A server that lost its state may count from below, and may be empty
		// for a while, however long ago the doubts began.
		l.index, l.doubted, l.confirmed = 0, time.Time{}, false
		return err
	}
	l.advance(a.index)
	l.believe(a.set, desperate)
	return nil
}

// askConsistently asks the leader in place of a follower that lags. Where that
// fails, the laggard's answer is better than none to a reader who has none.
func (l *line) askConsistently(ctx context.Context, laggard answer) (answer, error) {
	a, err := l.ask(ctx, question{})
	if err != nil && !l.knows() {
		l.publish(laggard.set, false)
	}
	return a, err
}

// askDesperately asks for the instances that do not pass where none does, and
// reports whether there are any. The index is that of the answer that was
// empty, so that no change since goes unseen.
func (l *line) askDesperately(ctx context.Context, none answer) (answer, bool, error) {
	a, err := l.ask(ctx, question{all: true})
	none.set = a.set
	return none, len(a.set) > 0, err
}

// advance takes note of the index of an answer, as Consul's documentation of
// blocking queries asks for: one that goes back starts over, and 0 would make
// the next query return at once for ever.
func (l *line) advance(index uint64) {
	if l.index == 0 {
		l.listed = time.Now()
	}
	if index < l.index {
		l.index = 0
		return
	}
	l.index = max(index, 1)
}

// freshness is how old a list may be. Where all instances have gone the next
// look is soon: a server that forgot them, and remembers, need not count that
// as a change.
func (l *line) freshness() time.Duration {
	if hold := l.watch.registry.config.Hold; l.emptied && hold > 0 {
		return max(hold/2, time.Second)
	}
	return refresh
}

// patience is how long the next query may be held: an empty answer in doubt
// wants another look when its time is up.
func (l *line) patience() time.Duration {
	wait := min(l.watch.registry.config.Wait, l.freshness())
	if l.doubted.IsZero() {
		return wait
	}
	left := l.watch.registry.config.Hold - time.Since(l.doubted)
	return min(wait, max(left, 10*time.Millisecond))
}

// had reports whether the line has told of any instance.
func (l *line) had() bool {
	l.watch.mu.Lock()
	defer l.watch.mu.Unlock()
	return len(l.news.set) > 0
}

func (l *line) knows() bool {
	l.watch.mu.Lock()
	defer l.watch.mu.Unlock()
	return l.news.known
}

// believe publishes an answer. One that is suddenly empty may come from a
// server that has just lost everything: it must stay so for a while.
func (l *line) believe(set []registry.Instance, desperate bool) {
	if len(set) > 0 || !l.had() {
		l.doubted, l.confirmed = time.Time{}, false
		l.emptied = l.emptied && len(set) == 0
		l.publish(set, desperate)
		return
	}
	if l.doubted.IsZero() {
		l.doubted = time.Now()
	}
	if time.Since(l.doubted) >= l.watch.registry.config.Hold {
		l.doubted, l.confirmed, l.emptied = time.Time{}, false, true
		l.publish(nil, false)
		return
	}
	l.doubt()
}

// doubt keeps what readers believe in spite of an empty answer.
func (l *line) doubt() {
	l.watch.learn(l, func(n *news) { n.err, n.fresh, n.index, n.pending = nil, time.Now(), l.index, true })
}

// publish tells the readers a set.
func (l *line) publish(set []registry.Instance, desperate bool) {
	config := l.watch.registry.config
	var before news
	l.watch.learn(l, func(n *news) {
		before = *n
		*n = news{set: set, known: true, fresh: time.Now(), index: l.index, panic: desperate}
	})
	if before.err != nil {
		config.Log.Info("consul answers again", l.about("instances", len(set))...)
	}
	if desperate && !before.panic {
		l.watch.registry.metrics.panics.WithLabelValues(l.watch.role).Inc()
		config.Log.Warn("no instance passes: using those that do not", l.about("instances", len(set))...)
	}
}

// fail tells the readers that Consul cannot be asked, once for each reason.
func (l *line) fail(err error) {
	l.watch.registry.metrics.errors.WithLabelValues(l.watch.role).Inc()
	var before news
	l.watch.learn(l, func(n *news) {
		before = *n
		if n.err == nil || errs.Of(n.err) != errs.Of(err) {
			n.err = err
		}
	})
	if before.err == nil || errs.Of(before.err) != errs.Of(err) {
		l.watch.registry.config.Log.Warn("consul does not answer", l.about("kept", len(before.set), "error", err)...)
	}
}

// about names the line in a log record.
func (l *line) about(more ...any) []any {
	args := []any{"role", l.watch.role}
	if l.datacenter != "" {
		args = append(args, "datacenter", l.datacenter)
	}
	return append(args, more...)
}
