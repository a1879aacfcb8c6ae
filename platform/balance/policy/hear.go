package policy

import (
	"math"
	"slices"
	"strings"

	"example.com/app/platform/balance"
)

// remove takes the oldest and the worst probe from the pool, by turns. Two stay.
func (p *pool) remove(c PrequalConfig) {
	for p.due += c.Remove; p.due >= 1; p.due-- {
		victim, left := (*probe)(nil), 0
		for i := range p.n {
			e := &p.probes[i]
			if e.uses == 0 {
				continue
			}
			if left++; victim == nil || p.worst && e.key > victim.key || !p.worst && e.at < victim.at {
				victim = e
			}
		}
		if left > 2 {
			victim.uses = 0
		}
		p.worst = !p.worst
	}
}

// add takes in what a peer said.
func (p *pool) add(c PrequalConfig, peer *balance.Peer, l balance.Load) {
	if p.set == nil {
		return // nobody has asked
	}
	p.fresh++
	p.looked = -1
	p.learn(c, float64(l.InFlight)/peer.Weight())
	*p.room(c, peer) = probe{
		peer: peer, member: member(p.set, peer), others: max(0, l.InFlight-peer.InFlight()),
		told: l.Latency, at: p.now, uses: p.reuse(c),
	}
}

// room is where a peer's probe goes: where its last one is, or a free place, or
// that of the oldest.
func (p *pool) room(c PrequalConfig, peer *balance.Peer) *probe {
	out := &p.probes[0]
	for i := range p.n {
		switch e := &p.probes[i]; {
		case e.peer == peer:
			return e
		case out.uses > 0 && (e.uses == 0 || e.at < out.at):
			out = e
		}
	}
	if p.n < c.Pool {
		p.n++
		return &p.probes[p.n-1]
	}
	return out
}

// learn keeps the distribution of calls in flight, and what is many of them.
func (p *pool) learn(c PrequalConfig, inFlight float64) {
	p.recent[p.heard%len(p.recent)] = inFlight
	if p.heard++; p.heard > 8 && p.heard%8 != 0 {
		return
	}
	sorted, n := p.recent, min(p.heard, len(p.recent))
	slices.Sort(sorted[:n])
	p.hot = sorted[max(0, int(math.Ceil(c.Quantile*float64(n)))-1)]
}

// mostUses bounds the number of calls that a probe serves.
const mostUses = 4

// reuse is how many calls a probe serves where the pool does not hold all peers
// (the paper's b_reuse, with δ = 1), rounded at random, so that probes are
// neither lacking nor stale. The formula has no answer where the pool holds
// nearly all, which is bounded.
func (p *pool) reuse(c PrequalConfig) int {
	come := (1-float64(c.Pool)/float64(len(p.set.Peers)))*c.Probes - c.Remove
	often := float64(mostUses)
	if come > 0 {
		often = min(max(1, 2/come), mostUses)
	}
	return int(often + p.set.Rand().Float())
}

// member reports whether a peer is of a set.
func member(s *balance.Set, p *balance.Peer) bool {
	i, found := slices.BinarySearchFunc(s.Peers, p, func(a, b *balance.Peer) int { return strings.Compare(a.ID(), b.ID()) })
	return found && s.Peers[i] == p
}
