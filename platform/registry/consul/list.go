package consul

import (
	"cmp"
	"context"
	"slices"

	"github.com/hashicorp/consul/api"

	"example.com/app/platform/registry"
)

// List implements registry.Lister. The health of an instance is the worst of
// its checks, in Consul's words.
func (r *Registry) List(ctx context.Context, role string) ([]registry.Listed, error) {
	defer r.enter()()
	entries, _, err := r.client.Health().Service(role, "", false, (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return nil, Explain("list "+role, err)
	}
	var all []registry.Listed
	for _, e := range entries {
		if e == nil || e.Service == nil {
			continue
		}
		all = append(all, registry.Listed{Instance: instance(role, e), Health: e.Checks.AggregatedStatus()})
	}
	slices.SortFunc(all, func(a, b registry.Listed) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}
