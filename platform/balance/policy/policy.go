// Package policy has the ways to pick one instance out of many.
//
// A policy looks at peers and keeps next to nothing itself: what was learnt of
// an instance is kept with its balance.Peer, which outlives every change of the
// list. A new policy is a Pick and a line in Parse.
package policy

import (
	"example.com/app/platform/balance"
)

// RoundRobin gives every instance its turn, by request count. It looks at
// nothing, weights included. While the set stays the same, no two instances
// differ by more than one call. The zero value is ready.
type RoundRobin struct{ next counter }

// Pick returns the instance whose turn it is.
func (rr *RoundRobin) Pick(_ balance.Call, s *balance.Set) balance.Choice {
	return balance.Choice{Peer: s.Peers[(rr.next.Add(1)-1)%uint64(len(s.Peers))], Why: "its turn"}
}

// String is "round_robin".
func (*RoundRobin) String() string { return "round_robin" }

// Random gives every instance the same chance. It is what many clients with few
// calls each come to with any policy.
type Random struct{}

// Pick returns any instance.
func (Random) Pick(_ balance.Call, s *balance.Set) balance.Choice {
	return balance.Choice{Peer: s.Peers[s.Rand().IntN(len(s.Peers))], Why: "at random"}
}

// String is "random".
func (Random) String() string { return "random" }

// fullScan is the number of instances up to which all are looked at. Above it
// two are, which is nearly as good (Mitzenmacher 2001) and costs the same
// however many there are.
const fullScan = 16

// two returns two different peers of a set that has two or more.
func two(s *balance.Set) (a, b *balance.Peer) {
	n := len(s.Peers)
	i, j := s.Rand().IntN(n), s.Rand().IntN(n-1)
	if j >= i {
		j++
	}
	return s.Peers[i], s.Peers[j]
}

// lowest picks the peer with the lowest score: of all where they are few, of
// two where they are many. Ties fall to one or the other at random, lest all
// clients call the first one first.
func lowest(s *balance.Set, why string, score func(*balance.Peer) float64) balance.Choice {
	if len(s.Peers) > fullScan {
		a, b := two(s)
		return better(a, b, score(a), score(b), why)
	}
	at := s.Rand().IntN(len(s.Peers))
	best := balance.Choice{Peer: s.Peers[at], Score: score(s.Peers[at]), Why: why}
	for range len(s.Peers) - 1 {
		if at++; at == len(s.Peers) {
			at = 0
		}
		p := s.Peers[at]
		switch x := score(p); {
		case x < best.Score:
			best.Peer, best.Over, best.Score, best.OverThan = p, best.Peer, x, best.Score
		case best.Over == nil || x < best.OverThan:
			best.Over, best.OverThan = p, x
		}
	}
	return best
}

func better(a, b *balance.Peer, sa, sb float64, why string) balance.Choice {
	if sb < sa {
		a, b, sa, sb = b, a, sb, sa
	}
	return balance.Choice{Peer: a, Over: b, Score: sa, OverThan: sb, Why: why}
}

// LeastRequest picks the instance with the fewest calls in flight, as far as
// this client knows, weights taken into account.
type LeastRequest struct{}

// Pick looks at all instances up to 16, at two different ones above.
func (LeastRequest) Pick(_ balance.Call, s *balance.Set) balance.Choice {
	return lowest(s, "fewer calls in flight", func(p *balance.Peer) float64 {
		return float64(p.InFlight()+1) / p.Weight()
	})
}

// String is "least_request".
func (LeastRequest) String() string { return "least_request" }
