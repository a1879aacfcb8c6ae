package balance

import (
	"sync"

	"example.com/app/platform/registry"
)

// WeightedRoundRobin gives every instance calls in proportion to its weight,
// by request count and smoothly: weights 5, 1, 1 give a a b a c a a, never five
// in a row and then the others. The zero value is ready; one value serves one
// client of one role. While the set stays the same, every run of as many calls
// as the weights sum up to is shared exactly.
//
// An instance keeps its place when others come and go.
type WeightedRoundRobin struct {
	mu   sync.Mutex
	turn []turn // of the set as last seen, in its order
}

// A turn is how far an instance is ahead of the others' weights: it gains its
// weight with every call, and pays the sum of all weights for being picked.
type turn struct {
	id     string
	credit int
}

// Pick returns the instance whose turn it is.
func (w *WeightedRoundRobin) Pick(set []registry.Instance) registry.Instance {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.follow(set)
	best, sum := 0, 0
	for i, in := range set {
		n := weight(in)
		sum += n
		w.turn[i].credit += n
		if w.turn[i].credit > w.turn[best].credit {
			best = i
		}
	}
	w.turn[best].credit -= sum
	return set[best]
}

// follow makes the turns those of set. Nothing is allocated while the set
// stays the same.
func (w *WeightedRoundRobin) follow(set []registry.Instance) {
	if w.follows(set) {
		return
	}
	credit := make(map[string]int, len(w.turn))
	for _, t := range w.turn {
		credit[t.id] = t.credit
	}
	w.turn = make([]turn, len(set))
	for i, in := range set {
		w.turn[i] = turn{in.ID, credit[in.ID]}
	}
}

func (w *WeightedRoundRobin) follows(set []registry.Instance) bool {
	if len(w.turn) != len(set) {
		return false
	}
	for i := range set {
		if w.turn[i].id != set[i].ID {
			return false
		}
	}
	return true
}

// weight is the share of an instance. One below 1 counts as 1: an instance that
// must get nothing is taken off the registry instead.
func weight(in registry.Instance) int { return max(in.Weight, 1) }
