package policy

import (
	"math"
	"sync/atomic"
	"time"

	"example.com/app/platform/balance"
)

type counter = atomic.Uint64

// WeightedRoundRobin gives every instance calls in proportion to its weight, by
// request count and spread out: an instance that gets every second call does
// not get them in a row. The zero value is ready.
//
// It is the static stride scheduler of gRFC A58: in every round an instance is
// passed over as often as its weight is below the highest one. A pick takes no
// lock.
type WeightedRoundRobin struct {
	next  counter
	rates atomic.Pointer[rates]
}

// rates are how often each instance of a set gets its turn, of 65535 rounds.
type rates struct {
	set   *balance.Set
	share []uint64
	until time.Duration // then weights may be others
}

const full = math.MaxUint16

// follow is how long a change of weights may go unnoticed.
const follow = 100 * time.Millisecond

// Pick returns the instance whose turn it is.
func (w *WeightedRoundRobin) Pick(c balance.Call, s *balance.Set) balance.Choice {
	r := w.rates.Load()
	if r == nil || r.set != s || c.Now >= r.until {
		r = newRates(c.Now, s)
		w.rates.Store(r)
	}
	n := uint64(len(r.share))
	for {
		turn := w.next.Add(1) - 1
		i, round := turn%n, turn/n
		if mod := (r.share[i]*round + i*full/2) % full; r.share[i] == full || mod >= full-r.share[i] {
			return balance.Choice{Peer: s.Peers[i], Why: "its turn, by weight"}
		}
	}
}

// String is "weighted_round_robin".
func (*WeightedRoundRobin) String() string { return "weighted_round_robin" }

func newRates(now time.Duration, s *balance.Set) *rates {
	r := &rates{set: s, share: make([]uint64, len(s.Peers)), until: now + follow}
	highest := 0.0
	for _, p := range s.Peers {
		highest = max(highest, p.Weight())
	}
	for i, p := range s.Peers {
		r.share[i] = max(1, uint64(math.Round(p.Weight()/highest*full)))
	}
	return r
}
