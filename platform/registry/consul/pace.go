package consul

import (
	"context"
	"math/rand/v2"
	"time"
)

// A bucket holds turns: two at most, and a new one every quarter of a second,
// so that a server that answers at once, rightly or not, is not asked in a hot
// loop. Use newBucket; it belongs to one goroutine.
type bucket struct {
	turns float64
	last  time.Time
}

const (
	burst = 2
	each  = 250 * time.Millisecond
)

func newBucket() *bucket { return &bucket{turns: burst, last: time.Now()} }

// take waits for a turn. It reports false when ctx ended first.
func (b *bucket) take(ctx context.Context) bool {
	now := time.Now()
	b.turns = min(burst, b.turns+float64(now.Sub(b.last))/float64(each))
	b.last = now
	b.turns--
	if b.turns < 0 {
		pause(ctx, time.Duration(-b.turns*float64(each)))
	}
	return ctx.Err() == nil
}

// A backoff spreads repeated tries: a random time below a bound that doubles
// from 100 ms to most. Full jitter keeps clients of one server apart when it
// comes back.
type backoff struct {
	rand  *rand.Rand
	most  time.Duration
	bound time.Duration
}

// next returns how long to wait after one more failure.
func (b *backoff) next() time.Duration {
	b.bound = min(max(2*b.bound, 100*time.Millisecond), b.most)
	return time.Duration(b.rand.Int64N(int64(b.bound)))
}

func (b *backoff) reset() { b.bound = 0 }

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
