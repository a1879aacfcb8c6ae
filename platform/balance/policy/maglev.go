package policy

import (
	"cmp"
	"slices"

	"example.com/app/platform/balance"
)

// Maglev sends calls with one key to one instance by a table look-up, and spreads
// keys more evenly than a ring; a few more of them move when instances come or go
// (Eisenbud et al., NSDI 2016). Calls without a key go where PeakEWMA sends them.
type Maglev struct {
	config HashConfig
	tables cache[[]int32]
}

// NewMaglev returns a Maglev.
func NewMaglev(c HashConfig) *Maglev {
	c.Bound, c.Size = cmp.Or(c.Bound, 1.25), cmp.Or(c.Size, 65537)
	return &Maglev{config: c}
}

// Pick looks the call's key up.
func (m *Maglev) Pick(c balance.Call, s *balance.Set) balance.Choice {
	if c.Key == 0 {
		return PeakEWMA{}.Pick(c, s)
	}
	t := m.tables.get(s, m.config.table)
	n := len(t.of)
	return m.config.spread(s, t.sum, int(c.Key%uint64(n)), n, func(i int) int { return int(t.of[i]) })
}

// table lets each peer in turn take the next free slot of its own permutation of
// the table. The heaviest peer does so in each round, the others as often as
// their weights say.
func (c HashConfig) table(s *balance.Set, weights []float64) []int32 {
	size := uint64(max(c.Size, len(s.Peers)))
	owners := make([]int32, size)
	for i := range owners {
		owners[i] = -1
	}
	next, skip, owed := make([]uint64, len(weights)), make([]uint64, len(weights)), make([]float64, len(weights))
	for i, p := range s.Peers {
		id := balance.Hash(p.ID())
		next[i], skip[i] = id%size, balance.Combine(id, 1)%max(size-1, 1)+1
	}
	heaviest := slices.Max(weights)
	for filled := uint64(0); ; {
		for i, w := range weights {
			if owed[i] += w / heaviest; owed[i] < 1-1e-9 {
				continue
			}
			owed[i]--
			for tried := uint64(0); owners[next[i]] >= 0; tried++ {
				if next[i] = (next[i] + skip[i]) % size; tried > size {
					skip[i] = 1 // the table's size is no prime, and the permutation not whole
				}
			}
			owners[next[i]] = int32(i)
			if filled++; filled == size {
				return owners
			}
		}
	}
}
