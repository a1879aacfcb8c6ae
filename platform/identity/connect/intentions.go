package connect

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/consul/api"

	"example.com/app/platform/identity/intention"
)

// Intentions are those that an operator gave Consul, in config entries or by
// command. Its methods may be called from many goroutines; it has none of its
// own while no Watch is under way.
type Intentions struct{ asker *asker }

// Watch implements intention.Rules. It yields an error when Consul stops
// answering, and again when it does so for another reason.
func (i *Intentions) Watch(ctx context.Context, destination string) iter.Seq2[intention.Table, error] {
	return func(yield func(intention.Table, error) bool) {
		if ctx.Err() != nil {
			return
		}
		// The loop may be slow: what it has not taken is replaced by what is newer.
		news := make(chan answer, 1)
		ctx, cancel := context.WithCancel(ctx)
		var line sync.WaitGroup
		defer line.Wait()
		defer cancel()
		line.Go(func() {
			follow(ctx, i.asker, matching(i.asker.client, destination, func(a answer) {
				select {
				case <-news:
				default:
				}
				news <- a
			}))
		})
		var last intention.Table
		var told repeat
		for known := false; ; {
			var a answer
			select {
			case <-ctx.Done():
				return
			case a = <-news:
			}
			if told.news(a.err) && !yield(nil, a.err) {
				return
			}
			if a.err != nil || known && last.Equal(a.table) {
				continue
			}
			known, last = true, a.table
			if !yield(slices.Clone(a.table), nil) {
				return
			}
		}
	}
}

// An answer is what Consul says of a destination.
type answer struct {
	table intention.Table
	err   error
}

// matching asks for the intentions that speak of calls to a destination.
func matching(c *api.Client, destination string, tell func(answer)) question[intention.Table] {
	match := &api.IntentionMatch{By: api.IntentionMatchDestination, Names: []string{destination}}
	return question[intention.Table]{
		act: "watch intentions of " + destination,
		put: func(o *api.QueryOptions) (intention.Table, *api.QueryMeta, error) {
			all, meta, err := c.Connect().IntentionMatch(match, o)
			return rules(all[destination]), meta, err
		},
		tell: func(t intention.Table, err error) { tell(answer{t, err}) },
	}
}

// rules are intentions in our words, sorted.
func rules(all []*api.Intention) intention.Table {
	table := intention.Table{}
	for _, in := range all {
		if in == nil || foreign(in) {
			continue
		}
		r := intention.Rule{Source: in.SourceName, Destination: in.DestinationName}
		// One with permissions speaks of paths and headers, which only a proxy
		// sees. Consul's own authorize call denies those too.
		if in.Action == api.IntentionActionAllow && len(in.Permissions) == 0 {
			r.Action = intention.Allow
		}
		table = append(table, r)
	}
	slices.SortFunc(table, func(a, b intention.Rule) int { return strings.Compare(a.String(), b.String()) })
	return table
}

// foreign reports whether an intention speaks of callers of another cluster or
// namespace. They are refused at the handshake, so it says nothing here.
func foreign(in *api.Intention) bool {
	home := in.SourceNS == "" || in.SourceNS == api.IntentionDefaultNamespace || in.SourceNS == intention.Any
	return in.SourcePeer != "" || in.SourceSamenessGroup != "" || !home
}
