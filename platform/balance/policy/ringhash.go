package policy

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"example.com/app/platform/balance"
)

// RingHash sends calls with one key to one instance, as long as it is there: when
// one of n instances comes or goes, about one key in n moves (consistent hashing,
// Karger et al. 1997; gRFC A42). Calls without a key go where PeakEWMA sends
// them.
type RingHash struct {
	config HashConfig
	rings  cache[*ring]
}

// NewRingHash returns a RingHash.
func NewRingHash(c HashConfig) *RingHash {
	c.Bound, c.Size = cmp.Or(c.Bound, 1.25), cmp.Or(c.Size, 160)
	return &RingHash{config: c}
}

// Pick finds the first point at or after the call's key.
func (h *RingHash) Pick(c balance.Call, s *balance.Set) balance.Choice {
	if c.Key == 0 {
		return PeakEWMA{}.Pick(c, s)
	}
	m := h.rings.get(s, h.config.ring)
	r := m.of
	return h.config.spread(s, m.sum, r.find(c.Key), len(r.hashes), func(i int) int { return int(r.owners[i]) })
}

// A ring is points in order of their hashes, and whose they are.
type ring struct {
	hashes []uint64
	owners []int32
	first  []int32 // by the highest bits of a hash: the first point that has them, or more
	shift  int     // how far to shift a hash, to have its highest bits
}

// find is the first point at or after a key.
func (r *ring) find(key uint64) int {
	at := int(r.first[key>>r.shift])
	for at < len(r.hashes) && r.hashes[at] < key {
		at++
	}
	return at % len(r.hashes)
}

// ring gives the heaviest peer Size points and the others as many as their
// weights say. That is the same for a peer whoever else is there, as long as the
// heaviest stays: its keys stay too.
func (c HashConfig) ring(s *balance.Set, weights []float64) *ring {
	type point struct {
		hash  uint64
		owner int32
	}
	var points []point
	for i, p := range s.Peers {
		id := balance.Hash(p.ID())
		for k := range max(1, int(math.Round(float64(c.Size)*weights[i]/slices.Max(weights)))) {
			points = append(points, point{balance.Combine(id, uint64(k)), int32(i)})
		}
	}
	slices.SortFunc(points, func(a, b point) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.owner, b.owner)) })
	r := &ring{shift: 64 - bits.Len(uint(len(points)))}
	for _, p := range points {
		r.hashes, r.owners = append(r.hashes, p.hash), append(r.owners, p.owner)
	}
	r.first = make([]int32, 1<<(64-r.shift))
	at := 0
	for i := range r.first {
		for at < len(r.hashes) && r.hashes[at]>>r.shift < uint64(i) {
			at++
		}
		r.first[i] = int32(at)
	}
	return r
}
