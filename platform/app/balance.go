package app

import (
	"cmp"
	"slices"
	"sync"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/policy"
	"example.com/app/platform/errs"
	"example.com/app/platform/registry"
)

// A Balance says how calls to a role, or to a proxied service, are shared among
// its instances.
type Balance struct {
	Policy string // as policy.Parse reads it; empty: the default
	Header string // metadata, or HTTP header, whose value keeps calls together; empty: none
	Subset int    // each caller calls so many instances at most; 0: all
}

// check finds what New must refuse.
func (b Balance) check(role string) error {
	if _, err := policy.Parse(b.Policy); err != nil {
		return err
	}
	if b.Subset < 0 {
		return errs.Invalid.New("balance %s: a subset of %d instances is none: want 0 for all, or more", cmp.Or(role, "every role"), b.Subset)
	}
	return nil
}

// balance is how calls to a role are shared: as configured for it, or for all.
func (c Config) balance(role string) Balance {
	b, all := c.Balance[role], c.Balance[""]
	return Balance{cmp.Or(b.Policy, all.Policy), cmp.Or(b.Header, all.Header), cmp.Or(b.Subset, all.Subset)}
}

// balancers are those of one instance, by the role or the service they share
// the calls to.
type balancers struct {
	made func(role string) balance.Config // without its policy
	cfg  Config

	mu  sync.Mutex
	all map[string]*balance.Balancer
}

// of is the balancer of the calls to a role, the same one each time.
func (b *balancers) of(role string) (*balance.Balancer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if lb := b.all[role]; lb != nil {
		return lb, nil
	}
	p, err := policy.Parse(b.cfg.balance(role).Policy)
	if err != nil {
		return nil, err
	}
	cfg := b.made(role)
	cfg.Policy = p
	if b.all == nil {
		b.all = make(map[string]*balance.Balancer)
	}
	b.all[role] = balance.New(cfg)
	return b.all[role], nil
}

// reports are those of all balancers, by role.
func (b *balancers) reports() []balance.Report {
	b.mu.Lock()
	var all []*balance.Balancer
	for _, lb := range b.all {
		all = append(all, lb)
	}
	b.mu.Unlock()
	out := make([]balance.Report, len(all))
	for i, lb := range all {
		out[i] = lb.Explain()
	}
	slices.SortFunc(out, func(a, o balance.Report) int { return cmp.Compare(a.Role, o.Role) })
	return out
}

// close ends what the balancers started.
func (b *balancers) close() {
	b.mu.Lock()
	all := b.all
	b.all = nil
	b.mu.Unlock()
	for _, lb := range all {
		lb.Close()
	}
}

// subset is the part of a role's instances that one caller calls.
func (v view) subset(role string, set []registry.Instance) []registry.Instance {
	return balance.Subset(set, v.caller, v.node.cfg.balance(role).Subset)
}
