package policy_test

import (
	"container/heap"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/policy"
	"example.com/app/platform/registry"
)

// A world is a balancer and the instances that it calls. Time is counted: what
// happens is planned, and the clock goes from one event to the next.
type world struct {
	*balance.Balancer
	t      *testing.T
	now    time.Duration
	plan   plan
	order  int
	keys   uint64
	models []*model
}

// A model is an instance: what a call takes, and what it says of itself.
type model struct {
	took   time.Duration
	fails  bool // at once
	silent bool // when it is asked for its load

	got, inFlight int
	last          time.Duration // what the last answer took
	answered      time.Duration // when it was
}

// lately is how long an instance remembers what its answers took.
const lately = time.Second

// newWorld has n instances that take 10 ms, and the policy that a text names.
func newWorld(t *testing.T, text string, n int) *world {
	p, err := policy.Parse(text)
	require.NoError(t, err)
	return worldOf(t, balance.Config{Policy: p}, n)
}

func worldOf(t *testing.T, c balance.Config, n int) *world {
	w := &world{t: t, now: time.Second}
	c.Seed, c.Now = 1, func() time.Duration { return w.now }
	if c.Ask == nil {
		c.Ask = w.ask
	}
	w.Balancer = balance.New(c)
	t.Cleanup(w.Close)
	for range n {
		w.models = append(w.models, &model{took: 10 * time.Millisecond})
	}
	w.Update(endpoints(n), n)
	return w
}

func endpoints(n int) []balance.Endpoint {
	set := make([]balance.Endpoint, n)
	for i := range set {
		set[i].ID = fmt.Sprintf("i%03d", i)
		set[i].Via = i
	}
	return set
}

// without is the endpoints but one.
func without(set []balance.Endpoint, gone int) []balance.Endpoint {
	var rest []balance.Endpoint
	for i, e := range set {
		if i != gone {
			rest = append(rest, e)
		}
	}
	return rest
}

func weighed(weights ...int) []balance.Endpoint {
	set := endpoints(len(weights))
	for i, w := range weights {
		set[i].Instance = registry.Instance{ID: set[i].ID, Weight: w}
	}
	return set
}

func (w *world) ask(p *balance.Peer, hear func(balance.Load)) {
	w.after(time.Millisecond, func() {
		if m := w.models[p.Via().(int)]; !m.silent {
			l := balance.Load{InFlight: m.inFlight}
			if w.now-m.answered <= lately {
				l.Latency = m.last
			}
			hear(l)
		}
	})
}

// call sends a call, with another key each time.
func (w *world) call() *model {
	w.keys++
	f, ok := w.Pick(balance.Call{Key: balance.Combine(w.keys, 1)})
	if !ok {
		w.t.Fatal("nobody is picked")
	}
	m := w.models[f.Peer.Via().(int)]
	m.got++
	m.inFlight++
	began := w.now
	end := func(o balance.Outcome) func() {
		return func() {
			m.inFlight--
			if o == balance.OK {
				m.last, m.answered = w.now-began, w.now
			}
			f.Done(o)
		}
	}
	if m.fails {
		w.after(100*time.Microsecond, end(balance.Failed))
	} else {
		w.after(m.took, end(balance.OK))
	}
	return m
}

// calls sends so many calls a second for a while, and returns how many each
// instance got.
func (w *world) calls(perSecond int, d time.Duration) []int {
	before := w.got()
	for end := w.now + d; w.now < end; {
		w.call()
		w.pass(time.Second / time.Duration(perSecond))
	}
	after := w.got()
	for i := range after {
		after[i] -= before[i]
	}
	return after
}

func (w *world) got() []int {
	got := make([]int, len(w.models))
	for i, m := range w.models {
		got[i] = m.got
	}
	return got
}

// after plans what happens d from now.
func (w *world) after(d time.Duration, f func()) {
	w.order++
	heap.Push(&w.plan, event{w.now + d, w.order, f})
}

// pass lets time go by, and happen what is due.
func (w *world) pass(d time.Duration) {
	end := w.now + d
	for len(w.plan) > 0 && w.plan[0].at <= end {
		e := heap.Pop(&w.plan).(event)
		w.now = e.at
		e.f()
	}
	w.now = end
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
	*p = old[:len(old)-1]
	return e
}

// each runs a story for every policy.
func each(t *testing.T, story func(t *testing.T, name string)) {
	for _, name := range policy.Names() {
		t.Run(name, func(t *testing.T) { story(t, name) })
	}
}
