package resilience

import (
	"context"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"example.com/app/platform/errs"
)

// A waiter is a call that waits to be let in.
type waiter struct {
	Permit
	priority Priority
	told     chan bool // it is let in, or pushed out by another
}

// line lets a call wait. Where there is no room to wait it pushes another one
// out that matters less, or is refused. l.mu is held.
func (l *Limiter) line(p Permit, priority Priority) (*waiter, error) {
	if len(l.waiting) >= min(l.cfg.Queue, max(int(l.limit)/2, 1)) {
		i := l.least()
		if i < 0 || !l.matters(p, priority, l.waiting[i]) {
			return nil, l.refuse(priority)
		}
		out := l.leave(i)
		_ = l.refuse(out.priority) // it makes the error itself, when it hears of it
		out.told <- false
	}
	w := &waiter{p, priority, make(chan bool, 1)}
	l.waiting = append(l.waiting, w)
	l.clients[p.client].waiting++
	return w, nil
}

// matters reports whether a newcomer matters more than one who waits.
func (l *Limiter) matters(p Permit, priority Priority, w *waiter) bool {
	if priority != w.priority {
		return priority > w.priority
	}
	return l.has(p.client)+1 < l.has(w.client)
}

// has is the number of places that a client takes, waiting ones included.
func (l *Limiter) has(client int) int { return l.clients[client].inUse + l.clients[client].waiting }

// least is who waits and matters least: of the lowest priority, of the client
// that has most, the last to come. Below 0: nobody waits.
func (l *Limiter) least() int {
	worst := -1
	for i, w := range l.waiting {
		if worst < 0 {
			worst = i
			continue
		}
		o := l.waiting[worst]
		if w.priority < o.priority || w.priority == o.priority && l.has(w.client) >= l.has(o.client) {
			worst = i
		}
	}
	return worst
}

// next is who is let in next: of the highest priority, of the client that has
// least, the first to come.
func (l *Limiter) next() int {
	best := 0
	for i, w := range l.waiting {
		o := l.waiting[best]
		if w.priority > o.priority || w.priority == o.priority && l.clients[w.client].inUse < l.clients[o.client].inUse {
			best = i
		}
	}
	return best
}

// leave takes one out of the line. l.mu is held.
func (l *Limiter) leave(i int) *waiter {
	w := l.waiting[i]
	last := len(l.waiting) - 1
	copy(l.waiting[i:], l.waiting[i+1:])
	l.waiting[last] = nil
	l.waiting = l.waiting[:last]
	l.clients[w.client].waiting--
	return w
}

// admit lets in whoever there is room for. l.mu is held.
func (l *Limiter) admit(now time.Duration) {
	for len(l.waiting) > 0 && l.room() {
		w := l.leave(l.next())
		w.began = now
		l.enter(w.Permit)
		w.told <- true
	}
}

// wait returns when the call is let in, or will not be.
func (l *Limiter) wait(ctx context.Context, w *waiter) (Permit, error) {
	patience := time.NewTimer(l.cfg.Wait)
	defer patience.Stop()
	var in bool
	select {
	case in = <-w.told:
	case <-patience.C:
		in = l.giveUp(w)
	case <-ctx.Done():
		in = l.giveUp(w)
	}
	switch {
	case ctx.Err() != nil:
		if in {
			w.Release(Failed)
		}
		return Permit{}, ctx.Err()
	case !in:
		return Permit{}, refusal()
	}
	return w.Permit, nil
}

// giveUp takes a call out of the line. It reports whether the call was let in
// just before.
func (l *Limiter) giveUp(w *waiter) bool {
	l.mu.Lock()
	for i, o := range l.waiting {
		if o == w {
			l.leave(i)
			_ = l.refuse(w.priority)
			l.mu.Unlock()
			return false
		}
	}
	l.mu.Unlock()
	return <-w.told
}

// refuse counts a refusal. l.mu is held.
func (l *Limiter) refuse(p Priority) error {
	l.refused[min(max(p, Sheddable), Critical)-Sheddable]++
	return refusal()
}

// again is when a refused call may come back, on average.
const again = time.Second

// refusal is what a refused call is told. It has no text of its own to make:
// under overload this is the way of most calls.
func refusal() error { return overloaded{} }

type overloaded struct{}

// Error is for people.
func (overloaded) Error() string { return "too many calls just now" }

// GRPCStatus is how it travels.
func (o overloaded) GRPCStatus() *status.Status {
	s := status.New(codes.ResourceExhausted, o.Error())
	if d, err := s.WithDetails(
		&errdetails.ErrorInfo{Reason: "OVERLOADED", Domain: errs.Domain},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(again)},
	); err == nil {
		return d
	}
	return s
}
