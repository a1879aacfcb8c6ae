package balance

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"example.com/app/platform/registry"
)

// A Peer is an instance as one client knows it. It outlives the changes of the
// list, and for a while its own absence. Its methods may be called from many
// goroutines and take no lock.
type Peer struct {
	id       string
	balancer *Balancer
	instance atomic.Pointer[registry.Instance]
	weight   atomic.Int64 // of instance, at least 1
	via      atomic.Value // of via
	listed   atomic.Int64 // when it came on the list
	absent   atomic.Int64 // when it left the list; below 0: it is there

	inFlight atomic.Int64
	waiting  atomic.Int64 // of these, calls whose answer has not begun and is due
	begun    atomic.Int64 // sum of the µs at which the waiting calls began
	calls    atomic.Uint64
	failures atomic.Uint64
	picked   atomic.Uint64

	latency average     // of answers, ns; a slow answer counts at once
	failing average     // share of calls that fail
	trying  atomic.Bool // a call finds out whether it is well again
	asked   atomic.Bool // a question for its load is open

	mu      sync.Mutex // never held while another lock is taken
	row     int        // failures in a row
	broken  int        // answers in a row that began well and broke off
	window  window     // calls since the last review
	ejected ejection
}

type via struct{ any }

// ID is the instance's in the registry.
func (p *Peer) ID() string { return p.id }

// Instance is what the registry told of it last.
func (p *Peer) Instance() *registry.Instance { return p.instance.Load() }

// Via is what the Balancer's owner said to reach it by.
func (p *Peer) Via() any { return p.via.Load().(via).any }

// InFlight is the number of this client's calls that it has not answered.
func (p *Peer) InFlight() int { return int(p.inFlight.Load()) }

// Latency is what the next answer may be expected to take, queueing at the
// instance included: an average of answers that follows a slow one at once
// (peak EWMA, as in Finagle), or the age of the calls in flight where that is
// more already. It fades while nothing is heard, so that nobody is avoided for
// ever. A peer that never answered is taken for a fast one, so that each is tried.
func (p *Peer) Latency(now time.Duration) time.Duration {
	est, heard := p.latency.at(now, p.balancer.cfg.Memory)
	if !heard {
		est = p.balancer.typical() / 2
	}
	return max(time.Duration(est), p.Age(now))
}

// Picked is which of its Balancer's picks last chose it: the lower the number,
// the longer it has waited for its turn.
func (p *Peer) Picked() uint64 { return p.picked.Load() }

// Age is the mean age of the calls that wait for an answer.
func (p *Peer) Age(now time.Duration) time.Duration {
	n := p.waiting.Load()
	if n <= 0 {
		return 0
	}
	began := p.begun.Load()
	if p.waiting.Load() != n {
		return 0 // one came or went in between: the two don't belong together
	}
	return max(0, now-time.Duration(began/n)*time.Microsecond)
}

// Success is the share of calls that did not fail, lately: 1 where nothing is
// known against it.
func (p *Peer) Success(now time.Duration) float64 {
	f, _ := p.failing.at(now, p.balancer.cfg.Memory)
	return 1 - f
}

// Weight is the share of calls that it should get beside its peers, as the
// registry says.
func (p *Peer) Weight() float64 { return float64(p.weight.Load()) }

// Ramp is how much of its share a new instance gets yet: from a tenth up to 1
// when it is not new any more. Where all are new, nobody is.
func (p *Peer) Ramp(now time.Duration) float64 {
	age, slow := now-time.Duration(p.listed.Load()), p.balancer.cfg.SlowStart
	if age >= slow {
		return 1
	}
	if slow = min(slow, now-time.Duration(p.balancer.first.Load())); age >= slow {
		return 1
	}
	return max(0.1, float64(age)/float64(slow))
}

// Cost is what a call to it would cost: the time that it would take behind the
// calls in flight, more where calls fail, less where its weight is high. The
// lower one wins.
//
// What an answer usually takes, whoever gives it and at least a millisecond, is
// added to the latency: of two that are about as fast the one with fewer calls
// in flight wins, and differences that are noise do not make a queue.
func (p *Peer) Cost(now time.Duration) float64 {
	cost := float64(p.inFlight.Load()+1) * (float64(p.Latency(now)) + p.balancer.typical())
	if p.failing.stamp.Load() != 0 {
		ok := max(p.Success(now), 0.01)
		cost /= ok * ok
	}
	if w := p.weight.Load(); w != 1 {
		cost /= float64(w)
	}
	return cost
}

// start notes that a call is sent.
func (p *Peer) start(now time.Duration, long bool) {
	if !long {
		p.begun.Add(now.Microseconds()) // before waiting: see Age
		p.waiting.Add(1)
	}
	p.inFlight.Add(1)
	p.balancer.inFlight.Add(1)
	p.calls.Add(1)
	p.picked.Store(p.balancer.picks.Add(1))
}

// answer notes how a call was answered.
func (p *Peer) answer(began, now time.Duration, long bool, o Outcome) {
	memory := p.balancer.cfg.Memory
	if !long {
		p.waiting.Add(-1)
		p.begun.Add(-began.Microseconds())
		took := float64(now - began)
		if o == OK {
			p.balancer.heard(now, took)
		} else if est, _ := p.latency.at(now, memory); o == Unreachable || took <= est {
			took = 0 // a failure is no sign of speed
		}
		if took > 0 || o == OK {
			p.latency.peak(now, memory, took, p.balancer.usually(took))
		}
	}
	switch o {
	case OK:
		p.failing.add(now, memory, 0, failStep)
	case Failed, Unreachable:
		p.failures.Add(1)
		p.failing.add(now, memory, 1, failStep)
	}
}

// broke notes that an answer which began well has broken off.
func (p *Peer) broke(now, memory time.Duration) {
	p.failures.Add(1)
	p.failing.add(now, memory, 1, failStep)
}

// failStep is how much one call moves the share of failures.
const failStep = 0.3

// An average follows a value and forgets with time. It has no lock to read; an
// update that collides with another is lost, which is as good as a sample that
// was not taken.
type average struct {
	bits  atomic.Uint64 // of a float64
	stamp atomic.Int64  // when it was last changed; 0: never
	busy  atomic.Bool
}

// at is the value as of now, and whether there ever was one. It fades to 0 over
// some multiples of memory.
func (a *average) at(now, memory time.Duration) (float64, bool) {
	at := a.stamp.Load()
	if at == 0 {
		return 0, false
	}
	return math.Float64frombits(a.bits.Load()) * faded(now-time.Duration(at), memory), true
}

// add moves the value towards x by the share step.
func (a *average) add(now, memory time.Duration, x, step float64) {
	if a.stamp.Load() == 0 && x == 0 || !a.busy.CompareAndSwap(false, true) {
		return
	}
	v, _ := a.at(now, memory)
	a.set(now, v+(x-v)*step)
	a.busy.Store(false)
}

// peak moves the value to x quickly where x is higher, and slowly where it is
// lower. The less has been heard for a while, the more x counts. Before the
// first one the value is start: a single answer says little, and the first one
// has waited for its connection too.
func (a *average) peak(now, memory time.Duration, x, start float64) {
	if !a.busy.CompareAndSwap(false, true) {
		return
	}
	v, heard := a.at(now, memory)
	step := downStep
	if !heard {
		v = start
	} else {
		step = max(step, 1-faded(now-time.Duration(a.stamp.Load()), memory))
	}
	if x > v {
		step = max(step, upStep)
	}
	a.set(now, v+(x-v)*step)
	a.busy.Store(false)
}

// How much one answer counts that is slower, or faster, than expected. An
// answer a hundred times slower makes thirty times the expectation; jumping to
// it would be jumping at noise.
const (
	upStep   = 0.3
	downStep = 0.1
)

func (a *average) set(now time.Duration, v float64) {
	a.bits.Store(math.Float64bits(v))
	a.stamp.Store(max(int64(now), 1))
}

// faded is about exp(-age/memory), without the exponential: this is on the way
// of every pick.
func faded(age, memory time.Duration) float64 {
	if age <= 0 {
		return 1
	}
	if age < memory>>7 {
		return 1 // as good as: less than a hundredth
	}
	x := float64(age) / float64(memory)
	return 1 / (1 + x*(1+x*(0.5+x*(1./6+x/24))))
}
