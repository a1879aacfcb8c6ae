package policy

import (
	"cmp"
	"math"
	"math/bits"
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

	// Size is the number of points on the ring for each instance of weight 1, 0
	// means 160; or the entries of Maglev's table, which should be a prime and a
	// hundred times the instances, 0 means 65537.
	Size int
}

// fits reports whether one more call keeps a peer within its bound.
func (c HashConfig) fits(p *balance.Peer, s *balance.Set, weights float64) bool {
	if c.Bound <= 1 {
		return true
	}
	share := float64(s.InFlight()+1) * p.Weight() / weights
	return float64(p.InFlight()+1) <= math.Ceil(c.Bound*share)
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

func sum(s *balance.Set) (weights float64) {
	for _, p := range s.Peers {
		weights += p.Weight()
	}
	return weights
}

// RingHash sends calls with one key to one instance, as long as it is there: when
// one of n instances comes or goes, about one key in n moves (consistent hashing,
// Karger et al. 1997; gRFC A42). Calls without a key go where PeakEWMA sends
// them.
type RingHash struct {
	config HashConfig
	ring   atomic.Pointer[ring]
}

// NewRingHash returns a RingHash.
func NewRingHash(c HashConfig) *RingHash {
	c.Bound, c.Size = cmp.Or(c.Bound, 1.25), cmp.Or(c.Size, 160)
	return &RingHash{config: c}
}

type ring struct {
	set     *balance.Set
	points  []point
	first   []int32 // by the highest bits of a hash: the first point that has them, or more
	shift   int     // how far to shift a hash, to have its highest bits
	weights float64
}

// find is the first point at or after a key.
func (r *ring) find(key uint64) int {
	at := int(r.first[key>>r.shift])
	for at < len(r.points) && r.points[at].hash < key {
		at++
	}
	return at % len(r.points)
}

type point struct {
	hash uint64
	peer int
}

// Pick finds the first point at or after the call's key.
func (h *RingHash) Pick(c balance.Call, s *balance.Set) balance.Choice {
	if c.Key == 0 {
		return PeakEWMA{}.Pick(c, s)
	}
	r := h.ring.Load()
	if r == nil || r.set != s {
		r = newRing(h.config, s)
		h.ring.Store(r)
	}
	return h.config.spread(s, r.weights, r.find(c.Key), len(r.points), func(i int) int { return r.points[i].peer })
}

func newRing(c HashConfig, s *balance.Set) *ring {
	r := &ring{set: s, weights: sum(s)}
	for i, p := range s.Peers {
		id := balance.Hash(p.ID())
		for k := range c.Size * int(p.Weight()) {
			r.points = append(r.points, point{balance.Combine(id, uint64(k)), i})
		}
	}
	slices.SortFunc(r.points, func(a, b point) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.peer, b.peer)) })
	r.shift = 64 - bits.Len(uint(len(r.points)))
	r.first = make([]int32, 1<<(64-r.shift))
	at := 0
	for i := range r.first {
		for at < len(r.points) && r.points[at].hash>>r.shift < uint64(i) {
			at++
		}
		r.first[i] = int32(at)
	}
	return r
}

// Maglev sends calls with one key to one instance by a table look-up, and spreads
// keys more evenly than a ring; a few more of them move when instances come or go
// (Eisenbud et al., NSDI 2016). Calls without a key go where PeakEWMA sends them.
type Maglev struct {
	config HashConfig
	table  atomic.Pointer[maglev]
}

// NewMaglev returns a Maglev.
func NewMaglev(c HashConfig) *Maglev {
	c.Bound, c.Size = cmp.Or(c.Bound, 1.25), cmp.Or(c.Size, 65537)
	return &Maglev{config: c}
}

type maglev struct {
	set     *balance.Set
	peers   []int32
	weights float64
}

// Pick looks the call's key up.
func (m *Maglev) Pick(c balance.Call, s *balance.Set) balance.Choice {
	if c.Key == 0 {
		return PeakEWMA{}.Pick(c, s)
	}
	t := m.table.Load()
	if t == nil || t.set != s {
		t = newMaglev(m.config, s)
		m.table.Store(t)
	}
	n := len(t.peers)
	return m.config.spread(s, t.weights, int(c.Key%uint64(n)), n, func(i int) int { return int(t.peers[i]) })
}

// newMaglev lets each peer in turn take the next free slot of its own
// permutation of the table, as often as its weight says.
func newMaglev(c HashConfig, s *balance.Set) *maglev {
	size := uint64(max(c.Size, len(s.Peers)))
	t := &maglev{set: s, peers: make([]int32, size), weights: sum(s)}
	for i := range t.peers {
		t.peers[i] = -1
	}
	next, skip := make([]uint64, len(s.Peers)), make([]uint64, len(s.Peers))
	for i, p := range s.Peers {
		id := balance.Hash(p.ID())
		next[i], skip[i] = id%size, balance.Combine(id, 1)%max(size-1, 1)+1
	}
	for filled := uint64(0); ; {
		for i, p := range s.Peers {
			for range int(p.Weight()) {
				for tried := uint64(0); t.peers[next[i]] >= 0; tried++ {
					if next[i] = (next[i] + skip[i]) % size; tried > size {
						skip[i] = 1 // the table's size is no prime, and the permutation not whole
					}
				}
				t.peers[next[i]] = int32(i)
				if filled++; filled == size {
					return t
				}
			}
		}
	}
}
