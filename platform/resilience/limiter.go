package resilience

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// A LimitConfig bounds what a Limiter does. Zero values are the defaults.
type LimitConfig struct {
	Off bool // nothing is refused

	Initial  int // calls at a time until more is known; 0 means 100
	Min, Max int // the limit is never lower, nor higher; 0 means 2 and 10000

	// Queue is how many calls may wait, and never more than half of the limit;
	// Wait is how long. 0 means 128 calls, 100 ms; a Queue below 0: none waits.
	Queue int
	Wait  time.Duration

	// Slack is how much longer than at low load a call may take before that
	// counts as a sign of overload; twice as long never does. 0 means 10 ms.
	Slack time.Duration
}

func (c LimitConfig) withDefaults() LimitConfig {
	or(&c.Initial, 100)
	or(&c.Min, 2)
	or(&c.Max, 10000)
	or(&c.Queue, 128)
	or(&c.Wait, 100*time.Millisecond)
	or(&c.Slack, 10*time.Millisecond)
	c.Max = max(c.Max, c.Min)
	c.Initial = min(max(c.Initial, c.Min), c.Max)
	return c
}

func or[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// A Limiter bounds how many calls one instance works on at a time, and finds
// the bound by itself: it lets more in as long as calls take no longer for it,
// and fewer when they do. Calls beyond it wait a short while or are refused at
// once: the least important first, and of those the calls of whoever has most.
//
// Without a limit an instance that was overloaded once stays so: it works on
// calls that nobody waits for any more (a metastable failure).
type Limiter struct {
	cfg   LimitConfig
	began time.Time
	seed  uint64

	mu      sync.Mutex
	limit   float64
	inUse   int
	clients [clients]share // by hash
	waiting []*waiter
	kinds   []*Kind
	control control
	refused [3]uint64 // by priority, sheddable first
}

// clients is how many shares are told apart (10 bits of a hash). Clients that
// fall on one share it; which ones do differs from process to process.
const clients = 1 << 10

// A share is what one client has of the places.
type share struct{ inUse, waiting int }

// NewLimiter returns a Limiter for one instance.
func NewLimiter(cfg LimitConfig) *Limiter {
	cfg = cfg.withDefaults()
	l := &Limiter{cfg: cfg, began: time.Now(), seed: rand.Uint64(), limit: float64(cfg.Initial)}
	l.kinds = []*Kind{{limiter: l}}
	return l
}

// A Kind is a sort of calls that take about the same time, as those of one
// method do. The Limiter compares a call with its kind alone.
type Kind struct {
	limiter *Limiter
	usual   float64 // ns at low load; 0: not known yet
	took    float64 // sum of this window
	calls   int     // of this window
}

// NewKind adds a kind of calls. There are as many as there are methods; it is
// not for what callers make up.
func (l *Limiter) NewKind() *Kind {
	k := &Kind{limiter: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kinds = append(l.kinds, k)
	return k
}

// An Ask is a call that wants to be let in. The zero value is an ordinary call.
type Ask struct {
	Client   uint64 // a hash of who calls; clients share the places fairly
	Priority Priority
	Weight   int   // places that it takes; 0 means 1
	Kind     *Kind // nil: that of all others
}

// A Permit is the place of a call that was let in.
type Permit struct {
	limiter *Limiter
	kind    *Kind
	client  int
	weight  int
	began   time.Duration
}

// Acquire lets a call in, at once or after a short wait. It fails with
// errs.Exhausted where there is no room, and with the context's error where ctx
// ends first: a call that nobody waits for any more is not begun. Every Permit
// must be released once.
func (l *Limiter) Acquire(ctx context.Context, a Ask) (Permit, error) {
	if l.cfg.Off {
		return Permit{}, nil
	}
	p := Permit{limiter: l, kind: a.Kind, weight: max(a.Weight, 1), began: time.Since(l.began)}
	p.client = int((a.Client ^ l.seed) * 0x9e3779b97f4a7c15 >> 54)
	l.mu.Lock()
	if p.kind == nil {
		p.kind = l.kinds[0]
	}
	if len(l.waiting) == 0 && l.room() {
		l.enter(p)
		l.mu.Unlock()
		return p, nil
	}
	l.control.full = true
	w, err := l.line(p, a.Priority)
	l.mu.Unlock()
	if err != nil {
		return Permit{}, err
	}
	return l.wait(ctx, w)
}

// room reports whether one more call may be let in, whatever its weight: a
// heavy call that had to find all its places free would never find them.
func (l *Limiter) room() bool { return l.inUse < int(l.limit) }

func (l *Limiter) enter(p Permit) {
	l.inUse += p.weight
	l.clients[p.client].inUse += p.weight
	l.control.peak = max(l.control.peak, l.inUse)
}

// An End is how a call that was let in ended, for whoever sets the limit.
type End int

const (
	// Served is an answer: what it took counts.
	Served End = iota
	// Late means that the call's deadline passed while it was worked on.
	Late
	// Failed is any other end. It says nothing of the load.
	Failed
)

// Release gives the place back.
func (p Permit) Release(e End) {
	l := p.limiter
	if l == nil {
		return
	}
	now := time.Since(l.began)
	l.mu.Lock()
	l.inUse -= p.weight
	l.clients[p.client].inUse -= p.weight
	l.learn(p, now, e)
	l.admit(now)
	l.mu.Unlock()
}
