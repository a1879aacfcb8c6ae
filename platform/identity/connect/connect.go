// Package connect takes identity and intentions from Consul.
//
// Its CA signs the certificates of the roles, and its intentions say who may
// call whom. The rule is the registry's: an answer that fails takes nothing
// away. Each watch puts one question at a time and lets Consul hold it until
// something changes.
package connect

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/consul/api"
	"golang.org/x/time/rate"

	"example.com/app/platform/registry/consul"
)

// New returns Consul's CA and its intentions, over one client. They have asked
// nothing yet: a Consul that is away is no error here. Of c they use API,
// Network, Wait, Seed and Log. An error means that the configuration, or a file
// it names, is wrong.
func New(c consul.Config) (*CA, *Intentions, error) {
	client, err := c.Client()
	if err != nil {
		return nil, nil, err
	}
	if c.Wait == 0 {
		c.Wait = time.Minute
	}
	a := &asker{client: client, wait: c.Wait, seed: c.Seed}
	return &CA{a}, &Intentions{a}, nil
}

// An asker puts questions to Consul.
type asker struct {
	client *api.Client
	wait   time.Duration
	seed   uint64 // of jitter; 0: any
}

// slack is what an answer may take beyond the time Consul may hold it.
const slack = 10 * time.Second

// refresh is how often a silent question is put without an index, in case that
// a change was lost on the way.
const refresh = 5 * time.Minute

// A question is one thing that is asked again and again.
type question[T any] struct {
	act  string // as in "watch intentions of greeter"
	put  func(*api.QueryOptions) (T, *api.QueryMeta, error)
	tell func(T, error) // hears each answer and each failure
}

// follow puts a question until ctx ends.
func follow[T any](ctx context.Context, a *asker, q question[T]) {
	// A server that answers at once, rightly or not, is not asked in a hot loop.
	turns := rate.NewLimiter(rate.Every(250*time.Millisecond), 2)
	back := a.backoff(q.act)
	var index uint64
	var listed time.Time // when index was 0 last
	for turns.Wait(ctx) == nil {
		if time.Since(listed) >= refresh {
			index = 0
		}
		answer, next, err := put(ctx, a, q, index)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			// A server that lost its state counts from below.
			index, listed = 0, time.Time{}
			q.tell(answer, err)
			back.pause(ctx)
			continue
		}
		back.bound = 0
		if index == 0 {
			listed = time.Now()
		}
		// Consul's rules of blocking queries: an index that goes back starts
		// over, and 0 would make the next question return at once for ever.
		if next < index {
			index = 0
		} else {
			index = max(next, 1)
		}
		q.tell(answer, nil)
	}
}

// put puts a question once. It takes no longer than Consul may hold it, which
// is a sixteenth more than the wait, and some slack.
func put[T any](ctx context.Context, a *asker, q question[T], index uint64) (answer T, next uint64, err error) {
	limit := slack
	opts := &api.QueryOptions{}
	if index > 0 {
		limit += a.wait + a.wait/16
		opts.WaitIndex, opts.WaitTime = index, a.wait
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer, meta, err := q.put(opts.WithContext(ctx))
	if err != nil {
		return answer, 0, explain(q.act, err)
	}
	return answer, meta.LastIndex, nil
}

// A backoff spreads repeated tries: a random time below a bound that doubles
// from 100 ms to 10 s.
type backoff struct {
	rand  *rand.Rand
	bound time.Duration
}

// backoff returns one whose jitter belongs to an act.
func (a *asker) backoff(act string) *backoff {
	seed := a.seed
	for seed == 0 {
		seed = rand.Uint64()
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(act))
	return &backoff{rand: rand.New(rand.NewPCG(seed, h.Sum64()))}
}

// pause waits after one more failure, or until ctx ends.
func (b *backoff) pause(ctx context.Context) {
	b.bound = min(max(2*b.bound, 100*time.Millisecond), 10*time.Second)
	timer := time.NewTimer(time.Duration(b.rand.Int64N(int64(b.bound))) + time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// A repeat keeps apart failures that are news and such as were told before.
type repeat struct{ text string }

// news reports whether err is another failure than the last; nil ends that.
func (r *repeat) news(err error) bool {
	before := r.text
	r.text = ""
	if err != nil {
		r.text = err.Error()
	}
	return r.text != "" && r.text != before
}
