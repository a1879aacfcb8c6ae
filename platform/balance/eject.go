package balance

import (
	"math"
	"time"
)

// A State is whether a peer may be called.
type State string

// The states of a peer.
const (
	StateFit     State = "fit"
	StateNew     State = "slow start"
	StateEjected State = "ejected"
	StateTrial   State = "on trial" // a call at a time finds out whether it is well again
	StateSpared  State = "spared"   // ejected, and called all the same: too many are
)

// An ejection is what keeps a peer from being called.
type ejection struct {
	why   string        // empty: it is not ejected
	until time.Duration // then it is on trial
	times int           // in a row, each twice as long
	good  int           // calls in a row that succeeded while on trial
	ended time.Duration // when the last one ended
}

// A window counts calls between two reviews.
type window struct{ calls, failures int }

// fitness says whether the peer may be called, and if it may not, until when.
func (p *Peer) fitness(now time.Duration) (State, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.ejected.why == "" && p.Ramp(now) < 1:
		return StateNew, 0
	case p.ejected.why == "":
		return StateFit, 0
	case now < p.ejected.until:
		return StateEjected, p.ejected.until
	}
	return StateTrial, 0
}

// Why a peer is ejected.
const (
	whyRow     = "failures in a row"
	whyRate    = "success rate"
	whyRefused = "refuses connections"
	whyBroken  = "answers broken off in a row"
)

// judge ejects a peer after too many failures in a row, and lets it back after
// enough calls that succeeded.
func (b *Balancer) judge(f *Flight, now time.Duration, o Outcome) {
	if b.cfg.Eject.Off {
		return
	}
	p := f.Peer
	p.mu.Lock()
	before := p.ejected
	switch o {
	case GivenUp:
	case OK:
		p.row = 0
		p.window.calls++
		if f.trial {
			p.recover(now)
		}
	case Failed, Unreachable:
		p.row++
		p.window.calls++
		p.window.failures++
		switch {
		case p.ejected.why != "" && !f.trial: // was on its way when it was ejected
		case o == Unreachable:
			p.eject(now, whyRefused)
		case f.trial, p.row >= b.cfg.Eject.Row:
			p.eject(now, whyRow)
		}
	}
	after := p.ejected
	p.mu.Unlock()
	if before.why != after.why || before.until != after.until {
		b.change(now, func() {})
		b.announce(p, now, after)
	}
	if f.trial {
		p.trying.Store(false)
	}
}

// conclude judges the end of an answer that began well. Answers that break off
// have a row of their own: each began well, which ends the row of failures.
func (b *Balancer) conclude(f *Flight, o Outcome) {
	p, now := f.Peer, b.now()
	if o == Failed || o == Unreachable {
		p.broke(now, b.cfg.Memory)
	}
	if b.cfg.Eject.Off || o == GivenUp {
		return
	}
	p.mu.Lock()
	out := false
	if o == OK {
		p.broken = 0
	} else {
		p.broken++
		p.window.failures++
		p.window.calls = max(p.window.calls, p.window.failures) // a review came in between
		out = (p.ejected.why == "" || f.trial) && (f.trial || p.broken >= b.cfg.Eject.Row)
	}
	if out {
		p.eject(now, whyBroken)
	}
	e := p.ejected
	p.mu.Unlock()
	if out {
		b.change(now, func() {})
		b.announce(p, now, e)
	}
}

// announce logs that a peer was ejected or is back.
func (b *Balancer) announce(p *Peer, now time.Duration, e ejection) {
	if e.why == "" {
		b.cfg.Log.Info("instance is back", "role", b.cfg.Role, "instance", p.id)
		return
	}
	b.ejections.Add(1)
	b.cfg.Log.Warn("instance ejected", "role", b.cfg.Role, "instance", p.id, "reason", e.why, "for", e.until-now)
}

// eject takes the peer out: twice as long as the last time, if that was not
// long ago. p.mu is held.
func (p *Peer) eject(now time.Duration, why string) {
	cfg, e := p.balancer.cfg.Eject, &p.ejected
	if e.why == "" && now-e.ended > 2*cfg.AtMost {
		e.times = 0
	}
	if why == whyRefused {
		e.until, e.good = now+cfg.Refused, cfg.Back-1 // one connection is proof enough
	} else {
		e.until, e.good = now+min(cfg.For<<min(e.times, 20), cfg.AtMost), 0
		e.times++
	}
	e.why = why
	p.row, p.broken = 0, 0
}

// recover counts a call that succeeded on trial. After enough of them the peer
// is back, and comes to its share slowly. p.mu is held.
func (p *Peer) recover(now time.Duration) {
	e := &p.ejected
	if e.good++; e.why == "" || e.good < p.balancer.cfg.Eject.Back {
		return
	}
	if e.why != whyRefused {
		p.listed.Store(int64(now))
	}
	e.why, e.ended = "", now
}

// review is a look at the peers because time has passed: an ejection ends, or
// success rates are to be compared.
func (b *Balancer) review(now time.Duration) *view {
	var out []*Peer
	b.change(now, func() {
		if now >= b.reviewed+b.cfg.Eject.Every {
			b.reviewed = now
			out = b.compare(now)
		}
	})
	for _, p := range out {
		p.mu.Lock()
		e := p.ejected
		p.mu.Unlock()
		b.announce(p, now, e)
	}
	return b.view.Load()
}

// compare ejects who succeeds clearly less often than its peers. b.mu is held.
func (b *Balancer) compare(now time.Duration) (out []*Peer) {
	var rates []float64
	var enough []*Peer
	for _, p := range b.here {
		p.mu.Lock()
		w := p.window
		p.window = window{}
		if w.calls >= b.cfg.Eject.Calls && p.ejected.why == "" {
			rates = append(rates, 1-float64(w.failures)/float64(w.calls))
			enough = append(enough, p)
		}
		p.mu.Unlock()
	}
	for i, p := range enough {
		mean, deviation := others(rates, i)
		if rates[i] < mean-max(b.cfg.Eject.Below, 1.9*deviation) {
			p.mu.Lock()
			p.eject(now, whyRate)
			p.mu.Unlock()
			out = append(out, p)
		}
	}
	return out
}

// others is the mean and the standard deviation of all rates but the i-th.
func others(rates []float64, i int) (mean, deviation float64) {
	n := float64(len(rates) - 1)
	if n == 0 {
		return 0, 0
	}
	for j, r := range rates {
		if j != i {
			mean += r / n
		}
	}
	for j, r := range rates {
		if j != i {
			deviation += (r - mean) * (r - mean) / n
		}
	}
	return mean, math.Sqrt(deviation)
}
