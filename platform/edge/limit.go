package edge

import (
	"container/list"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A bucket is what a rate allows, in the terms of the generic cell rate
// algorithm (ITU-T I.371): one request each interval, and up to size intervals
// ahead of time.
type bucket struct {
	name     string // of the policy, as the headers name it
	interval time.Duration
	size     time.Duration // burst × interval
	burst    int
}

// newBucket is false for a rate without a limit.
func newBucket(name string, r Rate) (bucket, bool) {
	if r.Count <= 0 {
		return bucket{}, false
	}
	per, burst := r.Per, r.Burst
	if per == 0 {
		per = time.Second
	}
	if burst == 0 {
		burst = r.Count
	}
	interval := per / time.Duration(r.Count)
	return bucket{name: name, interval: interval, size: time.Duration(burst) * interval, burst: burst}, true
}

// A demand is one request's wish for a token of the bucket that belongs to key.
type demand struct {
	key string
	bucket
}

// A verdict is what became of the demands of one request.
type verdict struct {
	wait time.Duration // until it would do; 0: it does
	left []left        // one for each demand
}

// left is what a client has yet to spend.
type left struct {
	bucket
	remaining int           // requests
	reset     time.Duration // until the bucket is full again
}

// A limiter counts for as many clients as it has room for, and forgets the one
// that asked least lately. It holds one time for each.
type limiter struct {
	room int

	mu    sync.Mutex
	known map[string]*list.Element // of *spent
	order *list.List               // the one that asked last is in front
}

// spent is when the bucket of a key would be full again.
type spent struct {
	key  string
	full time.Time
}

func newLimiter(room int) *limiter {
	return &limiter{room: room, known: make(map[string]*list.Element), order: list.New()}
}

// take spends a token for each demand, or none at all if one has to wait.
func (l *limiter) take(now time.Time, demands ...demand) verdict {
	var v verdict
	l.mu.Lock()
	defer l.mu.Unlock()
	entries := make([]*spent, len(demands))
	for i, d := range demands {
		entries[i] = l.entry(d.key, now)
		if ahead := entries[i].full.Sub(now) + d.interval; ahead > d.size {
			v.wait = max(v.wait, ahead-d.size)
		}
	}
	for i, d := range demands {
		if v.wait == 0 {
			entries[i].full = entries[i].full.Add(d.interval)
		}
		reset := entries[i].full.Sub(now)
		v.left = append(v.left, left{bucket: d.bucket, remaining: max(0, int((d.size-reset)/d.interval)), reset: reset})
	}
	return v
}

// entry is that of the key, not before now. l.mu is held.
func (l *limiter) entry(key string, now time.Time) *spent {
	at, ok := l.known[key]
	if ok {
		l.order.MoveToFront(at)
	} else {
		if l.order.Len() >= l.room {
			oldest := l.order.Back()
			delete(l.known, oldest.Value.(*spent).key)
			l.order.Remove(oldest)
		}
		at = l.order.PushFront(&spent{key: key})
		l.known[key] = at
	}
	s := at.Value.(*spent)
	if s.full.Before(now) {
		s.full = now
	}
	return s
}

// fields are the header fields RateLimit-Policy and RateLimit
// (draft-ietf-httpapi-ratelimit-headers-10 §3 and §4): what the buckets hold
// and how long they take to fill; what is left and when they are full again.
func (v verdict) fields() (policy, state string) {
	var p, s strings.Builder
	for i, l := range v.left {
		if i > 0 {
			p.WriteString(", ")
			s.WriteString(", ")
		}
		p.WriteString(`"` + l.name + `";q=` + strconv.Itoa(l.burst) + ";w=" + strconv.Itoa(seconds(l.size)))
		s.WriteString(`"` + l.name + `";r=` + strconv.Itoa(l.remaining) + ";t=" + strconv.Itoa(seconds(l.reset)))
	}
	return p.String(), s.String()
}

// seconds rounds up: who comes back after so many does not come too early.
func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }
