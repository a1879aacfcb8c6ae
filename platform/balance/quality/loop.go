package quality

import (
	"container/heap"
	"math"
	"time"
)

const never = time.Duration(math.MaxInt64)

// A loop is time: what happens when. Things that are due at one moment happen
// in the order in which they were planned.
type loop struct {
	now   time.Duration
	plan  plan
	count int
	sleep func(time.Duration) // keeps another clock in step; nil: there is none
}

func (l *loop) time() time.Duration { return l.now }

// after plans f.
func (l *loop) after(d time.Duration, f func()) {
	l.count++
	heap.Push(&l.plan, event{l.now + max(d, 0), l.count, f})
}

// until lets happen what is due.
func (l *loop) until(end time.Duration) {
	for len(l.plan) > 0 && l.plan[0].at <= end {
		e := heap.Pop(&l.plan).(event)
		if d := e.at - l.now; d > 0 && l.sleep != nil {
			l.sleep(d)
		}
		l.now = e.at
		e.f()
	}
}

type event struct {
	at    time.Duration
	order int
	f     func()
}

type plan []event

func (p plan) Len() int { return len(p) }
func (p plan) Less(i, j int) bool {
	return p[i].at < p[j].at || p[i].at == p[j].at && p[i].order < p[j].order
}
func (p plan) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p *plan) Push(x any)   { *p = append(*p, x.(event)) }
func (p *plan) Pop() any {
	old := *p
	e := old[len(old)-1]
	old[len(old)-1] = event{} // lets go of what e holds
	*p = old[:len(old)-1]
	return e
}
