package load

import (
	"math"
	"sync"
	"time"
)

// A Tally counts calls and remembers how long they took, within 1 %, in a few
// kilobytes however many there are. It may be used from many goroutines; the
// zero value is ready.
type Tally struct {
	mu      sync.Mutex
	calls   int
	failed  int
	longest time.Duration
	buckets map[int]int // calls by the logarithm of their duration
}

// growth is the ratio of one bucket's bound to the next.
const growth = 1.02

// Add counts a call.
func (t *Tally) Add(took time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls++
	if !ok {
		t.failed++
	}
	t.longest = max(t.longest, took)
	if t.buckets == nil {
		t.buckets = make(map[int]int)
	}
	t.buckets[int(math.Ceil(math.Log(float64(max(1, took)))/math.Log(growth)))]++
}

// Calls is the number of calls, Failed that of those that failed.
func (t *Tally) Calls() int { t.mu.Lock(); defer t.mu.Unlock(); return t.calls }

// Failed is the number of calls that failed.
func (t *Tally) Failed() int { t.mu.Lock(); defer t.mu.Unlock(); return t.failed }

// Longest is the duration of the slowest call.
func (t *Tally) Longest() time.Duration { t.mu.Lock(); defer t.mu.Unlock(); return t.longest }

// Quantile is the duration that a share q of the calls did not exceed; 0 where
// there were none.
func (t *Tally) Quantile(q float64) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.calls == 0 {
		return 0
	}
	low, high := math.MaxInt, math.MinInt
	for b := range t.buckets {
		low, high = min(low, b), max(high, b)
	}
	rank := int(math.Ceil(q * float64(t.calls)))
	for b := low; b <= high; b++ {
		if rank -= t.buckets[b]; rank <= 0 {
			return min(time.Duration(math.Pow(growth, float64(b)-0.5)), t.longest)
		}
	}
	return t.longest
}
