package registry

import "context"

// A Listed is an instance with what its registry knows of its health.
type Listed struct {
	Instance
	Health string // "passing", or why callers do not see it: "warning", "critical", "maintenance"
}

// A Lister also knows of the instances that Watch does not yield. The list is
// sorted by instance id.
type Lister interface {
	List(ctx context.Context, role string) ([]Listed, error)
}

// List asks r once for the instances of a role, whatever their health. Where r
// is no Lister they are those that Watch yields.
func List(ctx context.Context, r Registry, role string) ([]Listed, error) {
	if l, ok := r.(Lister); ok {
		return l.List(ctx, role)
	}
	for set, err := range r.Watch(ctx, role) {
		if err != nil {
			return nil, err
		}
		all := make([]Listed, len(set))
		for i, in := range set {
			all[i] = Listed{Instance: in, Health: "passing"}
		}
		return all, nil
	}
	return nil, ctx.Err()
}
