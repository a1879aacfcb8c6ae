package balance

import (
	"cmp"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// never is a time that does not come.
const never = time.Duration(math.MaxInt64)

// A view is who may be called, until something changes.
type view struct {
	all       *Set // fit to be called, or all that can be reached in a panic
	own       *Set // of these, who is in the caller's zone; nil: zones don't matter now
	other     *Set // of these, who is elsewhere
	trials    []*Peer
	reachable []*Peer
	panic     bool
	next      time.Duration // when it must be looked at again

	spilling  atomic.Bool
	nextSpill atomic.Int64 // when zones are compared again
}

// change changes what is known, and makes the view anew. Nothing is logged
// while the lock is held.
func (b *Balancer) change(now time.Duration, f func()) {
	b.mu.Lock()
	f()
	was, v := b.view.Load(), b.rebuild(now)
	b.view.Store(v)
	listed := b.listed
	b.mu.Unlock()
	switch {
	case v.panic && !was.panic:
		b.panics.Add(1)
		b.cfg.Log.Warn("too few instances are fit: all that can be reached are called", "role", b.cfg.Role, "reachable", len(v.reachable), "listed", listed)
	case was.panic && !v.panic:
		b.cfg.Log.Info("enough instances are fit again", "role", b.cfg.Role, "fit", len(v.all.Peers), "listed", listed)
	}
}

// rebuild is the view as of now. b.mu is held.
func (b *Balancer) rebuild(now time.Duration) *view {
	v := &view{reachable: b.here, next: never}
	fit := b.sort(v, now)
	if len(b.here) > 0 && (len(fit) == 0 || len(fit) < len(b.here) && float64(len(fit)) < b.cfg.Panic*float64(b.listed)) {
		v.panic = true
		fit, v.trials = b.here, nil
	}
	v.all = &Set{fit, balancer{b}}
	if zone := b.cfg.Zone; zone.Own != "" && !v.panic {
		own, other := b.split(fit)
		near, _ := b.split(b.here)
		if len(own) > 0 && len(other) > 0 && float64(len(own)) >= zone.Enough*float64(len(near)) {
			v.own, v.other = &Set{own, balancer{b}}, &Set{other, balancer{b}}
		}
	}
	if !b.cfg.Eject.Off {
		v.next = min(v.next, max(b.reviewed+b.cfg.Eject.Every, now+1))
	}
	return v
}

// sort tells who is fit from who is not, and notes in v who is on trial and
// until when the others are out. At most half are left out: of more, those who
// fail least are called all the same.
func (b *Balancer) sort(v *view, now time.Duration) (fit []*Peer) {
	var out []*Peer
	for _, p := range b.here {
		if state, _ := p.fitness(now); state == StateEjected || state == StateTrial {
			out = append(out, p)
		} else {
			fit = append(fit, p)
		}
	}
	if most := len(b.here) / 2; len(out) > most {
		slices.SortStableFunc(out, func(a, o *Peer) int { return cmp.Compare(a.Success(now), o.Success(now)) })
		fit = append(fit, out[most:]...)
		slices.SortFunc(fit, byID)
		out = out[:most]
	}
	for _, p := range out {
		if state, until := p.fitness(now); state == StateEjected {
			v.next = min(v.next, until)
		} else {
			v.trials = append(v.trials, p)
		}
	}
	return fit
}

func byID(a, b *Peer) int { return cmp.Compare(a.id, b.id) }

// split tells who is in the caller's zone from who is not.
func (b *Balancer) split(peers []*Peer) (own, other []*Peer) {
	for _, p := range peers {
		if p.Instance().Zone == b.cfg.Zone.Own {
			own = append(own, p)
		} else {
			other = append(other, p)
		}
	}
	return own, other
}

// near is the set that a call's zone and the state of the zones leave.
func (b *Balancer) near(c Call, v *view) *Set {
	if v.own == nil {
		return v.all
	}
	if next := v.nextSpill.Load(); int64(c.Now) >= next && v.nextSpill.CompareAndSwap(next, int64(c.Now+spillEvery)) {
		own, other := pace(c.Now, v.own), pace(c.Now, v.other)
		v.spilling.Store(own > other*b.cfg.Zone.Spill)
	}
	switch {
	case v.spilling.Load():
		b.spills.Add(1)
		return v.other
	case b.cfg.Zone.Sample > 0 && b.rand.Float() < b.cfg.Zone.Sample:
		b.sampled.Add(1)
		return v.other
	}
	return v.own
}

// spillEvery is how often the zones are compared.
const spillEvery = 50 * time.Millisecond

// pace is what an answer takes in a zone, dearer where calls fail. What is usual
// is added, as in Peer.Cost: differences that are noise send nobody away.
func pace(now time.Duration, s *Set) (sum float64) {
	for _, p := range s.Peers {
		sum += (float64(p.Latency(now)) + p.balancer.typical()) / max(p.Success(now), 0.01)
	}
	return sum / float64(len(s.Peers))
}
