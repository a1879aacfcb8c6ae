package consul

import (
	"context"
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
}

// An answer is what Consul says.
type answer struct {
	set   []registry.Instance // in canonical order
	index uint64
	lag   time.Duration // of the server behind its leader
}

// ask puts a question. It takes no longer than Consul may hold the answer,
// which is a sixteenth more than the wait, and some slack.
func (w *watch) ask(ctx context.Context, q question) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, q.wait+q.wait/16+slack)
	defer cancel()
	opts := &api.QueryOptions{WaitIndex: q.index, AllowStale: q.stale}
	if q.index > 0 {
		opts.WaitTime = q.wait
	}
	entries, meta, err := w.registry.client.Health().Service(w.role, "", true, opts.WithContext(ctx))
	if err != nil {
		return answer{}, explain("watch "+w.role, err)
	}
	if len(entries) == 0 && meta.ResultsFilteredByACLs {
		return answer{}, errs.Denied.New("watch %s: consul hides its instances: the token lacks service:read or node:read", w.role)
	}
	return answer{set: instances(w.role, entries), index: meta.LastIndex, lag: meta.LastContact}, nil
}
