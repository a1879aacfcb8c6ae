package quality

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"example.com/app/platform/balance"
)

// A model is an instance as far as balancing goes. It works on all its calls at
// the same time, and on each with one processor at most (processor sharing).
type model struct {
	loop *loop
	rand *rand.Rand

	work    time.Duration // that a call takes, for a processor
	spread  func(*rand.Rand) float64
	granted float64 // processors that it is known to have
	fails   float64 // share of calls that fail at once
	refuses bool    // connections are refused
	silent  bool    // nothing is answered any more

	processors float64 // that it has just now
	jobs       jobs
	done       float64       // processor time in ns that a call has got that was there from the start
	at         time.Duration // when that was so
	planned    time.Duration // when the next job ends; never: none does

	inFlight, highest int
	recent            [16]sample // answers, for who asks how busy it is
	answers           int
	busy, ended, bad  float64 // processors in use, calls and failed calls a second, lately
}

// A sample is an answer and how many calls were in flight when it came in.
type sample struct {
	inFlight int
	took     time.Duration
}

func newModel(l *loop, r *rand.Rand) *model {
	return &model{loop: l, rand: r, work: usual, granted: 1, processors: math.Inf(1), planned: never}
}

// usual is what a call takes, with the way there and back. It is a little more
// than two gaps between calls: what happens at one moment has no order.
const usual = 10*time.Millisecond + 70*time.Microsecond

// A job is a call that is worked on.
type job struct {
	until    float64 // done, when it ends
	inFlight int     // calls, when it came
	began    time.Duration
	end      func(balance.Outcome)
	index    int // in jobs; below 0: it has ended
}

// instantly is how long it takes to be turned away.
const instantly = 100 * time.Microsecond

// serve answers a call some time, or never. The caller may call it off.
func (m *model) serve(end func(balance.Outcome)) (off func()) {
	j := &job{inFlight: m.inFlight, began: m.loop.now, end: end, index: -1}
	work := float64(m.work)
	if m.spread != nil {
		work = max(float64(time.Microsecond), work*m.spread(m.rand))
	}
	m.inFlight++
	m.highest = max(m.highest, m.inFlight)
	no := balance.OK
	if m.fails > 0 && m.rand.Float64() < m.fails {
		no = balance.Failed
	}
	if m.refuses {
		no = balance.Unreachable
	}
	if no != balance.OK && !m.silent {
		m.loop.after(instantly, func() { m.inFlight--; m.advance(); m.bad++; m.ended++; end(no) })
		return func() {}
	}
	m.advance()
	j.until = m.done + work
	heap.Push(&m.jobs, j)
	m.next()
	return func() {
		if j.index < 0 {
			return
		}
		m.advance()
		heap.Remove(&m.jobs, j.index)
		m.inFlight--
		m.next()
	}
}

// speed is the part of a processor that each call has.
func (m *model) speed() float64 {
	if m.silent || len(m.jobs) == 0 {
		return 0
	}
	return min(1, m.processors/float64(len(m.jobs)))
}

// advance works up to now.
func (m *model) advance() {
	past := float64(m.loop.now - m.at)
	if past == 0 {
		return
	}
	speed := m.speed()
	m.at = m.loop.now
	m.done += past * speed
	fade := math.Exp(-past / float64(lately))
	m.busy = m.busy*fade + speed*float64(len(m.jobs))*(1-fade)
	m.ended *= fade
	m.bad *= fade
}

// lately is how long a figure of load looks back.
const lately = time.Second

// change changes what it can do.
func (m *model) change(f func(*model)) {
	m.advance()
	f(m)
	m.next()
}

// next plans the end of the next job. What was planned before and is not right
// any more finds that out by the time.
func (m *model) next() {
	speed := m.speed()
	if speed == 0 {
		m.planned = never
		return
	}
	wait := time.Duration(math.Ceil(max(0, (m.jobs[0].until-m.done)/speed)))
	if m.planned == m.loop.now+wait {
		return
	}
	m.planned = m.loop.now + wait
	m.loop.after(wait, m.finish)
}

// finish ends the jobs that are due.
func (m *model) finish() {
	if m.loop.now != m.planned {
		return
	}
	m.planned = never
	m.advance()
	for len(m.jobs) > 0 && m.jobs[0].until <= m.done+1 && !m.silent {
		j := heap.Pop(&m.jobs).(*job)
		m.inFlight--
		m.ended++
		m.recent[m.answers%len(m.recent)] = sample{j.inFlight, m.loop.now - j.began}
		m.answers++
		j.end(balance.OK)
	}
	m.next()
}

// report is what the instance says of itself.
func (m *model) report() Report {
	m.advance()
	return Report{
		Load:        m.load(),
		Utilisation: m.busy / m.granted,
		Calls:       m.ended / lately.Seconds(),
		Failed:      m.bad / lately.Seconds(),
	}
}

// load is the calls in flight, and the median of what recent ones took that
// came when about as many were.
func (m *model) load() balance.Load {
	return balance.Load{InFlight: m.inFlight, Latency: median(m.recent[:min(m.answers, len(m.recent))], m.inFlight)}
}

func median(recent []sample, inFlight int) time.Duration {
	var near [16]time.Duration
	n := 0
	for _, s := range recent {
		if d := s.inFlight - inFlight; d*d <= max(1, inFlight*inFlight/16) {
			near[n] = s.took
			n++
		}
	}
	if n == 0 {
		for _, s := range recent {
			near[n] = s.took
			n++
		}
	}
	if n == 0 {
		return 0
	}
	slices.Sort(near[:n])
	return near[n/2]
}

// jobs are a heap: the next to end comes first.
type jobs []*job

func (q jobs) Len() int           { return len(q) }
func (q jobs) Less(i, k int) bool { return q[i].until < q[k].until }
func (q jobs) Swap(i, k int) {
	q[i], q[k] = q[k], q[i]
	q[i].index, q[k].index = i, k
}
func (q *jobs) Push(x any) {
	j := x.(*job)
	j.index = len(*q)
	*q = append(*q, j)
}
func (q *jobs) Pop() any {
	old := *q
	j := old[len(old)-1]
	old[len(old)-1] = nil
	j.index = -1
	*q = old[:len(old)-1]
	return j
}
