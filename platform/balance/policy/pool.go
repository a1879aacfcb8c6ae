package policy

import (
	"math"
	"slices"
	"time"

	"example.com/app/platform/balance"
)

const maxPool = 16

// A pool is what peers said of themselves lately.
type pool struct {
	set     *balance.Set // of the last pick
	now     time.Duration
	probes  [maxPool]probe
	n       int
	members int           // probes of peers in the set, as of the last look
	usual   float64       // what an answer of these takes: the median, in ns
	looked  time.Duration // when look was last called; below 0: it is due
	turn    uint64        // of the last pick

	recent [64]float64 // calls in flight by weight, as told lately
	heard  int
	hot    float64 // more than these are many

	fresh float64 // answers since the last pick
	rate  float64 // answers for each pick, lately
	owed  float64 // picks that the pool is to serve
	due   float64 // probes to be removed
	worst bool    // the next to be removed is the worst, not the oldest
}

// A probe is a peer and what it said.
type probe struct {
	peer   *balance.Peer
	member bool // of the pool's set: another zone's set may come next
	others int  // calls in flight there, without ours
	told   time.Duration
	at     time.Duration // of the last pick before it came: nobody tells a probe the time
	uses   int           // that are left

	// As of the last look: what an answer takes, in ns, and what a call in flight
	// counts: 1 for a peer that is well, as fast as others and of weight 1.
	latency, dear float64

	// As of now: calls in flight, by weight, one more included; which pick chose
	// the peer last; and how the probe compares with others: the lower key wins.
	load float64
	turn uint64
	key  float64
}

// glance is for how long what was seen of the peers goes on to count, but for our
// own picks since: a pick in a rush of them looks at the pool alone.
const glance = 500 * time.Microsecond

// pick chooses among the probes, unless there are too few.
func (p *pool) pick(c PrequalConfig, now time.Duration, s *balance.Set) (balance.Choice, bool) {
	p.now = now
	p.rate += (p.fresh - p.rate) / 64
	p.fresh = 0
	if p.set != s || p.looked < 0 {
		p.look(c, s)
	}
	if !p.serves(c) {
		return balance.Choice{}, false
	}
	if now-p.looked >= glance {
		p.look(c, s)
	}
	n, least := p.classify()
	if n < 2 {
		return balance.Choice{}, false
	}
	best, over := p.first(least)
	choice := best.choice(over)
	p.turn++
	best.turn = p.turn
	best.load += best.dear
	if len(s.Peers) > c.Pool {
		best.uses--
		p.remove(c)
	}
	return choice, true
}

// serves reports whether the pool serves this pick. It serves as large a share
// of them as answers come of those that the paper wants for each, or, where it
// holds all peers, as there are of these. If few probes served all picks each
// would be used up, the bad ones too, and nothing be chosen any more.
func (p *pool) serves(c PrequalConfig) bool {
	if n := len(p.set.Peers); n <= c.Pool {
		p.owed += float64(p.members) / float64(n)
	} else {
		p.owed += min(1, p.rate/c.Probes)
	}
	if p.owed < 1 {
		return false
	}
	p.owed--
	return true
}

// look goes through what is known of the peers, and removes what counts no more.
func (p *pool) look(c PrequalConfig, s *balance.Set) {
	other := p.set != s
	p.set, p.looked = s, p.now
	var latencies [maxPool]float64
	n, members := 0, 0
	for i := range p.n {
		if e := &p.probes[i]; e.uses == 0 || p.now-e.at > c.Age {
			continue
		}
		p.probes[n] = p.probes[i]
		e := &p.probes[n]
		n++
		if other {
			e.member = member(s, e.peer)
		}
		if e.look(p); e.member {
			latencies[members] = e.latency
			members++
		}
	}
	p.n, p.members = n, members
	slices.Sort(latencies[:members])
	p.usual = latencies[max(0, members-1)/2]
	for i := range p.n {
		e := &p.probes[i]
		if slow := e.latency / (tooSlow * p.usual); slow > 1 {
			e.dear *= slow * slow
			e.load *= slow * slow
		}
		p.turn = max(p.turn, e.turn)
	}
}

// look is what is known of one peer. To the calls of others that it told of come
// our own, as of now.
func (e *probe) look(p *pool) {
	took := e.told
	if took == 0 {
		took = e.peer.Latency(p.now)
	}
	took = max(took, e.peer.Age(p.now)) + noise
	ok := max(e.peer.Success(p.now), 0.01)
	distrust := 1 / (ok * ok)
	e.latency = float64(took) * distrust
	e.dear = distrust / e.peer.Weight()
	e.load = float64(e.others+e.peer.InFlight()+1) * e.dear
	e.turn = e.peer.Picked()
}

const (
	// noise is added to each latency: what is shorter makes no difference.
	noise = time.Millisecond
	// tooSlow is how many times slower than usual a peer may be before it is taken
	// for a busy one.
	tooSlow = 4
	// even is how much dearer than the best a peer may be to take turns with it.
	even = 1.1
	// hotter is above all keys of peers that are not hot.
	hotter  = 1e30
	useless = math.MaxFloat64
)

// classify is the rule of hot and cold. It returns how many probes there are and
// the lowest key.
func (p *pool) classify() (n int, least float64) {
	least = useless
	for i := range p.n {
		e := &p.probes[i]
		if !e.member || e.uses == 0 {
			e.key = useless
			continue
		}
		n++
		if e.load > p.hot+1 {
			e.key = e.load * hotter
		} else {
			e.key = e.load * (e.latency + p.usual)
		}
		least = min(least, e.key)
	}
	return n, least
}

// first is the best probe and the next best. Of those that are about as good it
// is the one that waited longest.
func (p *pool) first(least float64) (best, over *probe) {
	low, next := math.Inf(1), math.Inf(1)
	for i := range p.n {
		e := &p.probes[i]
		k := e.key
		if k <= even*least {
			k = least
		}
		switch {
		case k > next || k == useless:
		case k < low || k == low && e.turn < best.turn:
			best, over, low, next = e, best, k, low
		case k < next || e.turn < over.turn:
			over, next = e, k
		}
	}
	return best, over
}

func (e *probe) choice(over *probe) balance.Choice {
	c := balance.Choice{Peer: e.peer, Over: over.peer, Score: e.load, OverThan: over.load}
	switch {
	case e.key >= hotter:
		c.Why = "all are hot: fewest calls in flight"
	case over.key >= hotter:
		c.Why = "the others are hot"
	default:
		c.Score, c.OverThan, c.Why = e.key, over.key, "not hot, and the lowest cost"
	}
	return c
}
