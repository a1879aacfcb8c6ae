package balance

import (
	"slices"
	"sync"
	"time"
)

// A Report tells what a Balancer knows and why it picked as it did.
type Report struct {
	Role, Policy string
	Explained    string `json:",omitempty"` // what the policy goes by just now
	Listed       int    // instances in the registry, as far as this client calls them
	Reachable    int    // of these
	Panic        bool   // too few are fit: all that can be reached are called
	Zone         string `json:",omitempty"` // the caller's own, where it is preferred just now
	Spilling     bool   `json:",omitempty"` // it is slower than the others, which are called
	Last         Last
	Peers        []Row

	Ejections, Panics, Spills, Trials uint64 // so far
}

// Last is the last pick.
type Last struct {
	Instance, Over  string // who was picked, and who was next best
	Score, OverThan float64
	Why             string
	Ago             time.Duration
}

// A Row is what is known of one instance.
type Row struct {
	ID, Addr, Zone string
	State          State
	Why            string        `json:",omitempty"` // it is ejected
	For            time.Duration `json:",omitempty"` // it is ejected yet
	Weight         float64       // as of now, slow start included
	InFlight       int           // calls of this client
	Latency        time.Duration // that the next answer is expected to take
	Success        float64       // share of calls, lately
	Cost           float64       // milliseconds; the lower one wins, where the policy looks at it
	Calls          uint64
	Failures       uint64
}

// lastPick is the last pick that nobody else noted at the same time.
type lastPick struct {
	mu     sync.Mutex
	at     time.Duration
	choice Choice
}

func (l *lastPick) note(now time.Duration, c Choice) {
	if l.mu.TryLock() {
		l.at, l.choice = now, c
		l.mu.Unlock()
	}
}

func (l *lastPick) load() (time.Duration, Choice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at, l.choice
}

// Explain reports on the Balancer as of now.
func (b *Balancer) Explain() Report {
	now := b.now()
	b.mu.Lock()
	here, listed := b.here, b.listed
	b.mu.Unlock()
	v := b.view.Load()
	r := Report{
		Role: b.cfg.Role, Policy: b.cfg.Policy.String(), Listed: listed, Reachable: len(here), Panic: v.panic,
		Ejections: b.ejections.Load(), Panics: b.panics.Load(), Spills: b.spills.Load(), Trials: b.trials.Load(),
	}
	if e, ok := b.cfg.Policy.(Explainer); ok {
		r.Explained = e.Explain()
	}
	if v.own != nil {
		r.Zone, r.Spilling = b.cfg.Zone.Own, v.spilling.Load()
	}
	if at, c := b.last.load(); c.Peer != nil {
		r.Last = Last{Instance: c.Peer.id, Score: c.Score, OverThan: c.OverThan, Why: c.Why, Ago: now - at}
		if c.Over != nil {
			r.Last.Over = c.Over.id
		}
	}
	for _, p := range here {
		row := p.report(now)
		if (row.State == StateEjected || row.State == StateTrial) && slices.Contains(v.all.Peers, p) {
			row.State = StateSpared
		}
		r.Peers = append(r.Peers, row)
	}
	return r
}

func (p *Peer) report(now time.Duration) Row {
	in := p.Instance()
	state, until := p.fitness(now)
	p.mu.Lock()
	why := p.ejected.why
	p.mu.Unlock()
	return Row{
		ID: p.id, Addr: in.Addr, Zone: in.Zone, State: state, Why: why, For: max(0, until-now),
		Weight: p.Weight() * p.Ramp(now), InFlight: p.InFlight(), Latency: p.Latency(now), Success: p.Success(now),
		Cost: p.Cost(now) / float64(time.Millisecond), Calls: p.calls.Load(), Failures: p.failures.Load(),
	}
}
