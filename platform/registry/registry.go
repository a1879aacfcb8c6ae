// Package registry finds the instances of a role.
//
// A registry tells the truth late: an instance it lists may be gone, and one it
// does not list may be up. Callers retry; they never conclude from absence.
package registry

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"time"
)

// A Registry lists who is up. Its methods may be called from many goroutines.
//
// Every implementation passes the suite in registrytest.
type Registry interface {
	// Register keeps an instance listed for as long as ctx lasts. It blocks:
	// it retries while the registry is away, registers again what the registry
	// lost, and takes the instance off the list before it returns. It returns
	// nil, or the error that kept it from taking the instance off, which then
	// expires by itself. An instance that can never be listed (no id, no role,
	// no address) is refused at once with an error of kind errs.Invalid.
	Register(ctx context.Context, r Registration) error

	// Watch yields the instances of a role, the whole set each time: first as
	// soon as it is known, then after every change, until ctx ends or the
	// loop is left. Sets are sorted by instance id, each id once, and are the
	// caller's to keep. A slow loop misses sets in between, never the newest,
	// and never sees an old one after a new one.
	//
	// An error means that the registry cannot be asked just now: the last set
	// stays as true as it was, and Watch goes on trying. An error never
	// stands for an empty set.
	Watch(ctx context.Context, role string) iter.Seq2[[]Instance, error]
}

// A Registration is an instance and what its registry and its process tell
// each other about it.
type Registration struct {
	Instance

	// Health is asked before every heartbeat. An error takes the instance out
	// of what Watch yields until Health returns nil again. Nil: always
	// healthy. It must not block.
	Health func() error

	// Report hears each change of fate: nil when the instance has been listed,
	// or the reason why it is not. Nil: nobody listens. It must not block.
	Report func(error)
}

// An Instance is one running copy of a role.
type Instance struct {
	ID      string            // unique in the registry and over restarts: role, host and start nonce
	Role    string            // the name it is looked up by
	Addr    string            // host:port to dial
	Version string            // of the program; empty: unknown
	Zone    string            // failure domain; empty: unknown
	Weight  int               // share of the load relative to its peers; 0 means 1
	Started time.Time         // when it began; zero: unknown
	Tags    []string          // sorted
	Meta    map[string]string // everything else
}

// Equal reports whether two instances would be treated alike by every caller.
func (in Instance) Equal(o Instance) bool {
	return in.ID == o.ID && in.Role == o.Role && in.Addr == o.Addr && in.Version == o.Version &&
		in.Zone == o.Zone && in.Weight == o.Weight && in.Started.Equal(o.Started) &&
		slices.Equal(in.Tags, o.Tags) && maps.Equal(in.Meta, o.Meta)
}

// Clone returns a copy that shares nothing with in.
func (in Instance) Clone() Instance {
	in.Tags = slices.Clone(in.Tags)
	in.Meta = maps.Clone(in.Meta)
	return in
}

// Canonical sorts a set by instance id and drops repeated ids, as Watch
// promises. It works in place.
func Canonical(set []Instance) []Instance {
	slices.SortStableFunc(set, func(a, b Instance) int { return cmp.Compare(a.ID, b.ID) })
	return slices.CompactFunc(set, func(a, b Instance) bool { return a.ID == b.ID })
}

// Same reports whether two sets in canonical order are equal.
func Same(a, b []Instance) bool { return slices.EqualFunc(a, b, Instance.Equal) }
