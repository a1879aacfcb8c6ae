package consul

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/consul/api"

	"example.com/app/platform/errs"
	"example.com/app/platform/registry"
)

// A question is one query for the passing instances of a role. The zero value
// wants an answer now, from the leader.
type question struct {
	index uint64        // wait for a change of it; 0: do not wait
	wait  time.Duration // at most
	stale bool          // any server may answer, leader or not
	all   bool          // those that do not pass too, unless an operator took them out
}

// An answer is what Consul says.
type answer struct {
	set   []registry.Instance // in canonical order
	index uint64
	lag   time.Duration // of the server behind its leader
}

// ask puts a question, as soon as there is a place to wait for the answer.
// errCrowded means that others needed it.
func (l *line) ask(ctx context.Context, q question) (answer, error) {
	if q.index == 0 {
		return l.put(ctx, q)
	}
	grace := time.Duration(l.rand.Int64N(int64(turnTime))) // lest all give up their connections at once
	here, err := l.watch.registry.places.enter(ctx, q.wait, grace)
	if err != nil {
		return answer{}, err
	}
	defer here.leave()
	q.wait = here.wait
	a, err := l.put(here, q)
	if err != nil && errors.Is(context.Cause(here), errCrowded) {
		err = errCrowded
	}
	return a, err
}

// put puts a question. It takes no longer than Consul may hold the answer,
// which is a sixteenth more than the wait, and some slack.
func (l *line) put(ctx context.Context, q question) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, q.wait+q.wait/16+slack)
	defer cancel()
	opts := &api.QueryOptions{WaitIndex: q.index, AllowStale: q.stale, Datacenter: l.datacenter}
	if q.index > 0 {
		opts.WaitTime = q.wait
	}
	role := l.watch.role
	act := "watch " + role
	if l.datacenter != "" {
		act += " in " + l.datacenter
	}
	entries, meta, err := l.watch.registry.client.Health().Service(role, "", !q.all, opts.WithContext(ctx))
	if err != nil {
		return answer{}, Explain(act, err)
	}
	if len(entries) == 0 && meta.ResultsFilteredByACLs {
		return answer{}, errs.Denied.New("%s: consul hides its instances: the token lacks service:read or node:read", act)
	}
	if q.all {
		entries = offered(entries)
	}
	return answer{set: instances(role, entries), index: meta.LastIndex, lag: meta.LastContact}, nil
}

// offered are the entries that no operator has taken out.
func offered(entries []*api.ServiceEntry) []*api.ServiceEntry {
	var kept []*api.ServiceEntry
	for _, e := range entries {
		if e != nil && e.Checks.AggregatedStatus() != api.HealthMaint {
			kept = append(kept, e)
		}
	}
	return kept
}
