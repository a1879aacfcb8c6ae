package wire

import (
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"
)

// A Link is one direction between two hosts. The zero Link is instant.
type Link struct {
	Latency   time.Duration
	Jitter    time.Duration // on top, as Spread has it
	Spread    Spread
	Bandwidth float64 // bytes per second, all connections together; 0: unlimited
	Loss      float64 // share of segments lost; TCP sends them again, so that loss is delay
	Cut       bool    // nothing gets through, and nobody is told
}

// A Spread is how jitter is distributed.
type Spread int

// The spreads.
const (
	Uniform     Spread = iota // from 0 to Jitter
	Exponential               // with Jitter as its mean: now and then much longer
)

// plus is both links one after the other, at work on the same segments.
func (l Link) plus(o Link) Link {
	l.Latency += o.Latency
	l.Jitter += o.Jitter
	l.Spread = max(l.Spread, o.Spread)
	if l.Bandwidth == 0 || o.Bandwidth > 0 && o.Bandwidth < l.Bandwidth {
		l.Bandwidth = o.Bandwidth
	}
	l.Loss = 1 - (1-l.Loss)*(1-o.Loss)
	l.Cut = l.Cut || o.Cut
	return l
}

// instant says whether segments need no time at all.
func (l Link) instant() bool {
	return l.Latency <= 0 && l.Jitter <= 0 && l.Bandwidth <= 0 && l.Loss <= 0 && !l.Cut
}

// A Rule adds to the links from one place to another.
type Rule struct {
	From, To string // places, see Match
	Link
}

// Match says whether a host is at a place: a host ("greeter-2"), a role
// ("greeter": greeter-1, greeter-2 and so on), a zone ("zone:eu"), or "*".
func Match(place, host, zone string) bool {
	if name, ok := strings.CutPrefix(place, "zone:"); ok {
		return name == zone && zone != ""
	}
	if place == "*" || place == host {
		return true
	}
	number, ok := strings.CutPrefix(host, place+"-")
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// A road is one direction between two hosts, with the luck it has. The Network's
// mu guards it.
type road struct {
	rand    *rand.Rand
	busy    time.Time // until when the last byte of what is on it takes
	version uint64    // of the rules that link was made from
	link    Link
}

func newRoad(seed uint64, from, to string) *road {
	h := fnv.New64a()
	_, _ = h.Write([]byte(from + "\x00" + to))
	return &road{rand: rand.New(rand.NewPCG(seed, h.Sum64()))}
}

// maxRTO is where the retransmission timeout stops doubling (RFC 6298 §2.5).
const maxRTO = 60 * time.Second

// arrival is when a segment of so many bytes, sent now, arrives.
func (r *road) arrival(size int, rto time.Duration) time.Time {
	now := time.Now()
	at := now
	if r.link.Bandwidth > 0 {
		if r.busy.After(at) {
			at = r.busy
		}
		at = at.Add(time.Duration(float64(size) / r.link.Bandwidth * float64(time.Second)))
		r.busy = at
	}
	at = at.Add(r.link.Latency)
	if r.link.Jitter > 0 {
		x := r.rand.Float64()
		if r.link.Spread == Exponential {
			x = r.rand.ExpFloat64()
		}
		at = at.Add(time.Duration(x * float64(r.link.Jitter)))
	}
	for ; r.link.Loss > 0 && r.rand.Float64() < r.link.Loss; rto = min(2*rto, maxRTO) {
		at = at.Add(rto)
		if at.Sub(now) > time.Hour {
			break // all is lost: it will be healed before that
		}
	}
	return at
}
