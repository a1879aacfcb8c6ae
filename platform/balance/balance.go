// Package balance picks one instance out of many, for gRPC and for HTTP with
// the same code.
package balance

import (
	"sync/atomic"

	"example.com/app/platform/registry"
)

// A Policy picks among instances. Pick is called from many goroutines with the
// set as it is now, never empty; it returns one of its members. Calls are
// counted, not connections: a policy knows nothing of either.
type Policy interface {
	Pick(set []registry.Instance) registry.Instance
}

// RoundRobin gives every instance its turn, by request count. The zero value
// is ready and starts at the first instance; one value serves one client of
// one role. While the set stays the same, no two instances differ by more than
// one call. It does not look at weights.
type RoundRobin struct{ next atomic.Uint64 }

// Pick returns the instance whose turn it is.
func (rr *RoundRobin) Pick(set []registry.Instance) registry.Instance {
	return set[(rr.next.Add(1)-1)%uint64(len(set))]
}
