package balance

import (
	"cmp"
	"slices"

	"example.com/app/platform/registry"
)

// Subset is the part of a role's instances that one client calls, so that a
// large fleet of clients does not connect to every one of a large fleet of
// instances. It is the same for the same client, whatever the order; when one
// instance comes or goes, at most one member changes (rendezvous hashing, as in
// gRFC A68). A size of 0, or one that is not below the number of instances,
// means all.
func Subset(set []registry.Instance, client string, size int) []registry.Instance {
	if size <= 0 || size >= len(set) {
		return set
	}
	who := Hash(client)
	score := func(in registry.Instance) uint64 { return Combine(who, Hash(in.ID)) }
	part := slices.SortedFunc(slices.Values(set), func(a, b registry.Instance) int {
		return cmp.Or(cmp.Compare(score(a), score(b)), cmp.Compare(a.ID, b.ID))
	})[:size]
	return registry.Canonical(part)
}
