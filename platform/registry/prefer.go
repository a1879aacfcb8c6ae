package registry

import (
	"context"
	"iter"
	"slices"
)

// Prefer returns a view of r whose Watch yields only the instances of a zone,
// as long as there are any, and all others when there is none. An empty zone
// prefers nothing.
func Prefer(r Registry, zone string) Registry {
	if zone == "" {
		return r
	}
	return preferring{r, zone}
}

type preferring struct {
	Registry
	zone string
}

// Watch implements Registry. A change that takes nothing away and adds nothing
// to what is preferred is none.
func (p preferring) Watch(ctx context.Context, role string) iter.Seq2[[]Instance, error] {
	return changes(p.Registry.Watch(ctx, role), func(set []Instance) []Instance {
		near := slices.DeleteFunc(copies(set), func(in Instance) bool { return in.Zone != p.zone })
		if len(near) > 0 {
			return near
		}
		return set
	})
}

// changes are the sets of a watch as view shows them, without those that look
// like the one before.
func changes(watch iter.Seq2[[]Instance, error], view func([]Instance) []Instance) iter.Seq2[[]Instance, error] {
	return func(yield func([]Instance, error) bool) {
		var last []Instance
		first := true
		for set, err := range watch {
			if err != nil {
				if !yield(nil, err) {
					return
				}
				continue
			}
			set = view(set)
			if !first && Same(last, set) {
				continue
			}
			first, last = false, copies(set)
			if !yield(set, nil) {
				return
			}
		}
	}
}
