package resilience

import "time"

// control is what sets the limit. It grows with calls that take no longer than
// usual, as TCP's window does, and is looked at again after each window of some
// calls.
//
// That calls take longer has two causes which look the same: too many of them
// at a time, or something that has nothing to do with their number, as a
// database that has become slow. Fewer calls at a time help against the first
// and harm with the second. So a limiter that is in doubt tries: it halves the
// limit, and looks whether as many calls are answered as before. If so, the
// calls it took away had only been waiting, and it halves again. If not, what
// calls take now is what they take without a queue, and it goes back.
type control struct {
	window

	last float64 // calls/s that were served in the window before

	// Of the windows in a row that were too slow:
	limit, ratio float64 // as of the first; 0: there is none

	// Of the tries:
	trying bool
	first  bool          // it is the first step of a try
	before float64       // calls/s that were served before it, and
	was    float64       // the limit then
	ours   bool          // the last one has shown that calls wait for each other
	tried  time.Duration // when it ended; 0: there was none
}

// A window is some calls that ended one after the other.
type window struct {
	began time.Duration
	calls int
	late  int           // of these
	took  time.Duration // all of them together
	peak  int           // in use at a time, at most
	full  bool          // a call found no room

	// After the limit fell, the calls from before it have to end, and those that
	// waited behind them. The window begins when the first of the next ones has
	// ended, and only those that were let in after that count.
	unsettled, fresh bool
}

const (
	shortest = 100 * time.Millisecond // time of a window
	enough   = 50                     // calls of a window; few will do where they take a second to come
	few      = 10
	kept     = 0.75 // of the calls served before: as many, but for noise
	fall     = 0.7  // the limit falls so much at once, at most
	helps    = 0.7  // of the latency is left, or less, where a limit that fell so much was of use
	tooLate  = 0.1  // share of calls whose deadline passes

	pause = 2 * time.Second  // between two tries with a cause
	idle  = 30 * time.Second // between two without one
)

// learn takes in how a call ended, and ends the window if it is time. l.mu is
// held.
func (l *Limiter) learn(p Permit, now time.Duration, e End) {
	c := &l.control
	if e == Failed || c.fresh && p.began < c.began {
		return
	}
	if c.unsettled {
		c.unsettled, c.began = false, now
		return
	}
	took, k := now-p.began, p.kind
	c.calls++
	c.took += took
	k.calls++
	k.took += float64(took)
	if e == Late {
		c.late++
	}
	if k.usual == 0 && k.calls == few {
		k.usual = k.took / few // the first calls there are find an idle instance, as a rule
	}
	if c.full && !c.trying && e == Served {
		l.grow(k, float64(took))
	}
	if c.trying {
		if c.calls >= max(few, int(l.limit)) { // each place was given back once
			l.judge(now)
		}
		return
	}
	if age := now - c.began; age >= shortest && (c.calls >= enough || c.calls >= few && age >= time.Second) {
		l.compare(now)
	}
}

func (w *window) mean() time.Duration { return w.took / time.Duration(w.calls) }

// grow lets more calls in after one that took no longer than usual: by one for
// each where there is no sign of a queue, by one for all of them where there is
// a small one.
func (l *Limiter) grow(k *Kind, took float64) {
	switch slack := float64(l.cfg.Slack); {
	case took <= max(1.3*k.usual, k.usual+slack/4):
		l.limit++
	case took <= max(2*k.usual, k.usual+slack):
		l.limit += 1 / l.limit
	}
	l.limit = min(l.limit, float64(l.cfg.Max))
}

// turn begins another window with a limit. l.mu is held.
func (l *Limiter) turn(now time.Duration, limit float64) {
	limit = min(max(limit, float64(l.cfg.Min)), float64(l.cfg.Max))
	fell := limit < l.limit
	l.limit = limit
	l.control.window = window{began: now, peak: l.inUse, unsettled: fell, fresh: fell}
	for _, k := range l.kinds {
		k.took, k.calls = 0, 0
	}
}

// compare looks at what the calls of the window took beside what they may take.
func (l *Limiter) compare(now time.Duration) {
	c := &l.control
	busy := c.full || float64(c.peak) >= 0.8*l.limit
	ratio := l.ratio(busy)
	slow, late := busy && ratio > 1, float64(c.late) > tooLate*float64(c.calls)
	switch {
	case !slow:
		c.limit, c.ratio = 0, 0
	case c.limit == 0:
		c.limit, c.ratio = l.limit, ratio
	}
	vain := l.limit < helps*c.limit && ratio > helps*c.ratio // fewer calls, as slow as before
	served, before := float64(c.calls-c.late)/(now-c.began).Seconds(), c.last
	c.last = served
	switch {
	case (slow && !c.ours || late) && (c.tried == 0 || now-c.tried >= pause), vain, c.full && now-c.tried > idle:
		// Of the window before too: while latency rises, fewer calls end.
		c.trying, c.first, c.before, c.was = true, true, max(served, before), max(l.limit, c.limit)
		c.limit, c.ratio = 0, 0
		l.turn(now, min(l.limit, float64(c.peak))/2)
	case slow && c.ours:
		l.turn(now, l.limit*max(1/ratio, fall))
	case float64(c.peak) < l.limit/4 && l.limit > float64(l.cfg.Initial):
		l.turn(now, max(l.limit*0.99, float64(l.cfg.Initial))) // what was needed once is forgotten
	default:
		l.turn(now, l.limit)
	}
}

// judge ends a try, or goes on with it. As all places are taken, what is served
// follows from what the calls took (Little's law).
func (l *Limiter) judge(now time.Duration) {
	c := &l.control
	if !c.full { // the crowd has gone
		c.trying = false
		l.turn(now, c.was)
		return
	}
	for _, k := range l.kinds {
		if k.calls > 0 {
			k.usual = k.took / float64(k.calls)
		}
	}
	served := l.limit / c.mean().Seconds() * float64(c.calls-c.late) / float64(c.calls)
	if served >= kept*c.before && l.limit > float64(l.cfg.Min) {
		c.first, c.was, c.before = false, l.limit, max(c.before, served)
		l.turn(now, l.limit/2)
		return
	}
	c.trying, c.ours, c.tried = false, !c.first, now
	l.turn(now, c.was)
}

// ratio is what the calls of the window took by what they may take. It learns
// what they take at low load.
func (l *Limiter) ratio(busy bool) float64 {
	var took, may float64
	for _, k := range l.kinds {
		if k.calls == 0 {
			continue
		}
		mean := k.took / float64(k.calls)
		switch {
		case k.usual == 0:
			k.usual = mean
		case !busy:
			k.usual += (mean - k.usual) * 0.1
		}
		took += k.took
		may += float64(k.calls) * max(2*k.usual, k.usual+float64(l.cfg.Slack))
	}
	if may == 0 {
		return 0
	}
	return took / may
}
