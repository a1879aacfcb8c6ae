package policy

import (
	"cmp"
	"fmt"
	"math"
	"sync"
	"time"

	"example.com/app/platform/balance"
)

// PrequalConfig says how Prequal probes. The zero value is the paper's.
type PrequalConfig struct {
	Probes   float64       // sent for each call, used by later ones, at most 16; 0 means 3
	Quantile float64       // of calls in flight above which an instance is hot; 0 means 0.84
	Pool     int           // probes that are kept, from 2 to 16; 0 means 16
	Age      time.Duration // after which a probe counts no more; 0 means 1 s
	Remove   float64       // probes removed for each call, where the pool does not hold all instances; 0 means 1
	Rate     float64       // probes a second, at most; 0 means 1000
}

// Prequal asks instances how busy they are, and picks by that: the cheapest of
// those that are not hot, or the one with the fewest calls in flight where all
// are, hot being who has more of them than most answers of late (Wydrowski,
// Kleinberg, Rumble, Archer: Load is not what you should balance, NSDI 2024).
// Questions go out with a call and serve later ones, so that no call waits.
//
// It differs from the paper where that was measured to be better.
//   - The cheapest is not the one with the lowest latency, but with the lowest
//     latency times calls in flight. Latencies are noisy, and all clients would
//     queue at whoever was lucky: p99 in the load ramp is 0.4 to 0.6 of what it
//     is by latency alone.
//   - An instance that fails is dearer than it says by the square of its
//     failures, and one that lets this client's own calls wait is as slow as they
//     are old. One that is many times slower than usual is taken for hot, lest it
//     be the only cold one whenever the others are busy for a moment.
//   - Our own calls in flight are counted as of now, not as of the answer.
//   - Where the pool can hold a probe of every instance it does, and a probe
//     stays until the next one or until it is too old.
//   - Calls for which there are no probes (because of Rate, or because instances
//     do not answer, or none can be asked at all) go by what the client knows
//     itself, as with PeakEWMA: a client that calls often knows much.
type Prequal struct {
	config PrequalConfig

	mu      sync.Mutex
	pool    pool
	owed    float64       // probes to be sent
	allowed float64       // probes that may be sent just now
	since   time.Duration // when that was so
	asked   uint64
	picks   uint64
}

// NewPrequal returns a Prequal.
func NewPrequal(c PrequalConfig) *Prequal {
	c.Probes = min(cmp.Or(c.Probes, 3), maxPool)
	c.Quantile = cmp.Or(c.Quantile, 0.84)
	c.Pool = min(max(cmp.Or(c.Pool, maxPool), 2), maxPool)
	c.Age = cmp.Or(c.Age, time.Second)
	c.Remove = cmp.Or(c.Remove, 1)
	c.Rate = cmp.Or(c.Rate, 1000)
	return &Prequal{config: c, pool: pool{rate: c.Probes}, allowed: c.burst()}
}

// Pick looks at the probes in the pool.
func (q *Prequal) Pick(c balance.Call, s *balance.Set) balance.Choice {
	if !s.Asks() {
		return PeakEWMA{}.Pick(c, s)
	}
	var room [maxPool]*balance.Peer
	q.mu.Lock()
	targets := q.targets(c.Now, s, room[:])
	choice, ok := q.pool.pick(q.config, c.Now, s)
	q.mu.Unlock()
	for _, p := range targets {
		s.Ask(p)
	}
	if !ok {
		choice = PeakEWMA{}.Pick(c, s)
	}
	return choice
}

// targets are the different peers that are asked with a call.
func (q *Prequal) targets(now time.Duration, s *balance.Set, room []*balance.Peer) []*balance.Peer {
	q.picks++
	q.allowed = min(q.allowed+(now-q.since).Seconds()*q.config.Rate, q.config.burst())
	q.since = now
	q.owed += q.config.Probes
	n := min(int(q.owed), len(s.Peers), int(q.allowed))
	q.owed -= math.Floor(q.owed)
	if n <= 0 {
		return nil
	}
	q.allowed -= float64(n)
	q.asked += uint64(n)
	return distinct(s, room[:n])
}

// burst is the number of probes that may be sent at once after a pause.
func (c PrequalConfig) burst() float64 { return max(c.Rate/100, maxPool) }

// distinct fills room with different peers, at random (Floyd's sampling).
func distinct(s *balance.Set, room []*balance.Peer) []*balance.Peer {
	for i := range room {
		last := len(s.Peers) - len(room) + i
		p := s.Peers[s.Rand().IntN(last+1)]
		for _, taken := range room[:i] {
			if taken == p {
				p = s.Peers[last]
				break
			}
		}
		room[i] = p
	}
	return room
}

// Hear takes an answer into the pool.
func (q *Prequal) Hear(p *balance.Peer, l balance.Load) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pool.add(q.config, p, l)
}

// Explain tells what the policy goes by.
func (q *Prequal) Explain() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.asked == 0 {
		return "Nobody can be asked how busy it is: it goes by what this client sees."
	}
	return fmt.Sprintf("It knows what %d instances said lately, takes more than %.3g calls in flight for many, and asks %.2g instances per call.",
		q.pool.n, q.pool.hot, float64(q.asked)/float64(max(q.picks, 1)))
}
