package policy

import (
	"math"
	"slices"
	"sync/atomic"

	"example.com/app/platform/balance"
)

// HashConfig says how keys are spread. The zero value is the default.
type HashConfig struct {
	// Bound is how many times the average of calls in flight an instance may
	// have before its keys go on to the next one (Mirrokni, Thorup, Zadimoghaddam:
	// consistent hashing with bounded loads, 2017). 0 means 1.25; 1 or less:
	// there is no bound.
	Bound float64

	// Size is the number of points on the ring of the heaviest instance, 0 means
	// 160; or the entries of Maglev's table, which should be a prime and a hundred
	// times the instances, 0 means 65537.
	Size int
}

// fits reports whether one more call keeps a peer within its bound. The average
// is over all calls of the client, also those that are on their way to instances
// which get no more: counting the others for each pick would take too long.
func (c HashConfig) fits(p *balance.Peer, s *balance.Set, weights float64) bool {
	if c.Bound <= 1 {
		return true
	}
	share := float64(s.InFlight()+1) * p.Weight() / weights
	return float64(p.InFlight()+1) <= math.Ceil(c.Bound*share-1e-9)
}

// Why a hash policy picks whom it picks.
const (
	whyKey  = "its key belongs there"
	whyFull = "its key's instance has too many calls in flight"
)

// spread picks along a table of instances from where a key belongs. Slot i of n
// is whose(i).
func (c HashConfig) spread(s *balance.Set, weights float64, at, n int, whose func(int) int) balance.Choice {
	home := s.Peers[whose(at)]
	if c.fits(home, s, weights) {
		return balance.Choice{Peer: home, Why: whyKey}
	}
	for range n - 1 {
		if at++; at == n {
			at = 0
		}
		if p := s.Peers[whose(at)]; p != home && c.fits(p, s, weights) {
			return balance.Choice{Peer: p, Over: home, Score: float64(p.InFlight()), OverThan: float64(home.InFlight()), Why: whyFull}
		}
	}
	return balance.Choice{Peer: home, Why: whyKey}
}

// A made is what was computed from a set: a T, for its peers and their weights.
type made[T any] struct {
	set     *balance.Set
	weights []float64
	sum     float64
	of      T
}

// sets is how many sets a policy may be asked for by turns: with zones there is
// the own one, the others, and all.
const sets = 3

// A cache keeps what was computed from the last few sets. It takes no lock: who
// computes the same at the same time comes to the same.
type cache[T any] struct {
	slots [sets]atomic.Pointer[made[T]]
	next  atomic.Uint32
}

// get is what make makes of the set, now or before.
func (c *cache[T]) get(s *balance.Set, make func(s *balance.Set, weights []float64) T) *made[T] {
	for i := range c.slots {
		if m := c.slots[i].Load(); m != nil && m.set == s {
			return m
		}
	}
	return c.add(s, make)
}

// add computes it, unless the set is another one for the same peers, as it is
// after each review.
func (c *cache[T]) add(s *balance.Set, make func(s *balance.Set, weights []float64) T) *made[T] {
	m := &made[T]{set: s, weights: slices.Grow([]float64(nil), len(s.Peers))}
	for _, p := range s.Peers {
		m.weights = append(m.weights, p.Weight())
		m.sum += p.Weight()
	}
	for i := range c.slots {
		if old := c.slots[i].Load(); old != nil && slices.Equal(old.set.Peers, s.Peers) && slices.Equal(old.weights, m.weights) {
			m.of = old.of
			c.slots[i].Store(m)
			return m
		}
	}
	m.of = make(s, m.weights)
	c.slots[(c.next.Add(1)-1)%sets].Store(m)
	return m
}
