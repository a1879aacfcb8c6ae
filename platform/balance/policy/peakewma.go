package policy

import (
	"math"
	"slices"

	"example.com/app/platform/balance"
)

// PeakEWMA picks the instance whose cost is lowest: expected latency, which
// follows a slow answer quickly and fades, times calls in flight, dearer where
// calls fail (after Finagle's and Linkerd's peak EWMA, with error aversion).
//
// Of instances that cost about the same, with no more calls in flight, it picks
// the one that waited longest: equal instances take turns.
type PeakEWMA struct{}

// sampled is how many instances are looked at where there are more than
// fullScan. Four come close to all of them: measured at 100 instances of mixed
// speeds, 95 ms at p99 where two give 130 and all give 90.
const sampled = 4

// alike is how much dearer than the cheapest an instance may be to take turns
// with it.
const alike = 1.5

// Pick looks at all instances up to 16, at four different ones above.
func (PeakEWMA) Pick(c balance.Call, s *balance.Set) balance.Choice {
	var room [fullScan]*balance.Peer
	peers := some(s, room[:])
	var cost [fullScan]float64
	best := 0
	for i, p := range peers {
		if cost[i] = p.Cost(c.Now); cost[i] < cost[best] {
			best = i
		}
	}
	turn := best
	var over *balance.Peer
	overCost := math.Inf(1)
	for i, p := range peers {
		if i != best && cost[i] < overCost {
			over, overCost = p, cost[i]
		}
		if cost[i] <= alike*cost[best] && emptier(p, peers[best]) && p.Picked() < peers[turn].Picked() {
			turn = i
		}
	}
	if turn != best {
		return balance.Choice{Peer: peers[turn], Over: peers[best], Score: cost[turn], OverThan: cost[best], Why: "costs about the same, and waited longer"}
	}
	return balance.Choice{Peer: peers[best], Over: over, Score: cost[best], OverThan: overCost, Why: "lower cost"}
}

// emptier reports whether p has no more calls in flight than q, by weight.
func emptier(p, q *balance.Peer) bool {
	return float64(p.InFlight())*q.Weight() <= float64(q.InFlight())*p.Weight()
}

// some are the peers of a set where they are few, and different ones at random
// where they are many.
func some(s *balance.Set, room []*balance.Peer) []*balance.Peer {
	if len(s.Peers) <= fullScan {
		return s.Peers
	}
	bits := s.Rand().Uint64() // enough for four
	for n := 0; n < sampled; {
		p := s.Peers[int(bits>>48)*len(s.Peers)>>16]
		if bits <<= 16; n == 0 || !slices.Contains(room[:n], p) {
			room[n] = p
			n++
		} else {
			bits = s.Rand().Uint64()
		}
	}
	return room[:sampled]
}

// String is "peak_ewma".
func (PeakEWMA) String() string { return "peak_ewma" }
