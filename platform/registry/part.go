package registry

import (
	"context"
	"iter"
)

// Part returns a view of r whose Watch yields of each set what choose leaves. It
// may change the set it is given, and must choose the same of the same set.
func Part(r Registry, choose func(role string, set []Instance) []Instance) Registry {
	return part{r, choose}
}

type part struct {
	Registry
	choose func(string, []Instance) []Instance
}

// Watch implements Registry. A change among those that are left out is none.
func (v part) Watch(ctx context.Context, role string) iter.Seq2[[]Instance, error] {
	return changes(v.Registry.Watch(ctx, role), func(set []Instance) []Instance { return v.choose(role, set) })
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
