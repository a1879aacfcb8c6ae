package quality

import (
	"fmt"
	"strconv"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/policy"
	"example.com/app/platform/registry"
)

// Ours makes entrants that pick as the platform does, with the policy that a
// text names.
func Ours(text string) Maker {
	return Maker{Name: text, New: func(g Ground) Entrant {
		p, err := policy.Parse(text)
		if err != nil {
			panic(fmt.Sprintf("quality: %v", err)) // a slip in a program, not an input
		}
		e := &ours{seed: g.Seed}
		e.balancer = balance.New(balance.Config{
			Policy: p, Seed: g.Seed, Now: g.Now, Zone: balance.Zone{Own: g.Zone},
			Ask: func(p *balance.Peer, hear func(balance.Load)) { g.Ask(number(p), hear) },
		})
		return e
	}}
}

type ours struct {
	balancer *balance.Balancer
	seed     uint64
	key      uint64 // each call has another one
}

func (e *ours) Update(set []Instance) {
	ends := make([]balance.Endpoint, len(set))
	for i, in := range set {
		ends[i].Instance = registry.Instance{ID: fmt.Sprintf("i%03d", in.Number), Zone: in.Zone}
	}
	e.balancer.Update(ends, len(ends))
}

func (e *ours) Pick() (int, func(balance.Outcome, Report)) {
	e.key++
	f, ok := e.balancer.Pick(balance.Call{Key: balance.Combine(e.seed, e.key)})
	if !ok {
		return -1, nil
	}
	return number(f.Peer), func(o balance.Outcome, _ Report) { f.Done(o) }
}

func number(p *balance.Peer) int {
	n, err := strconv.Atoi(p.ID()[1:])
	if err != nil {
		panic(err)
	}
	return n
}
