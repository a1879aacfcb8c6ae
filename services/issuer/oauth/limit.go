package oauth

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const mostKeys = 10_000 // that a limit tells apart

// limit is how often each of many may do something. Its memory is bounded: when
// there are too many, newcomers share one allowance.
type limit struct {
	burst int
	each  time.Duration

	mu    sync.Mutex
	keys  map[string]*rate.Limiter
	other *rate.Limiter
}

// newLimit allows burst times at once, and then one time each so often.
func newLimit(burst int, each time.Duration) *limit {
	return &limit{burst: burst, each: each, keys: make(map[string]*rate.Limiter), other: rate.NewLimiter(rate.Every(each), burst)}
}

// take uses one time up: a refusal that says when to come back where none is
// left.
func (l *limit) take(key string, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	of, ok := l.keys[key]
	switch {
	case !ok && len(l.keys) < mostKeys:
		of = rate.NewLimiter(rate.Every(l.each), l.burst)
		l.keys[key] = of
	case !ok:
		of = l.other
	}
	if !of.AllowN(now, 1) {
		return tooMany(time.Duration((1 - of.TokensAt(now)) * float64(l.each)))
	}
	return nil
}

// spent says whether take would refuse.
func (l *limit) spent(key string, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if of, ok := l.keys[key]; ok && of.TokensAt(now) < 1 {
		return tooMany(time.Duration((1 - of.TokensAt(now)) * float64(l.each)))
	}
	return nil
}

// sweep forgets those whose whole allowance is there again.
func (l *limit) sweep(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, of := range l.keys {
		if of.TokensAt(now) >= float64(l.burst) {
			delete(l.keys, key)
		}
	}
}
