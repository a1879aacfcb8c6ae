package policy

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/app/platform/balance"
)

// PrequalConfig says how Prequal probes. The zero value is the paper's.
type PrequalConfig struct {
	Probes   float64       // sent for each call, used by later ones; 0 means 3
	Quantile float64       // of calls in flight above which an instance is hot; 0 means 0.84
	Pool     int           // probes that are kept, at most 16; 0 means 16
	Age      time.Duration // after which a probe counts no more; 0 means 1 s
	Remove   float64       // probes removed for each call, where the pool does not hold all instances; 0 means 1
	Rate     float64       // probes a second, at most; 0 means 1000
}

// Prequal asks instances how busy they are, and picks by that: of those with
// few calls in flight the fastest, or the one with the fewest where all have
// many (Wydrowski, Kleinberg, Rumble, Archer: Load is not what you should
// balance, NSDI 2024). Questions go out with a call and serve later ones, so
// that no call waits.
//
// What the paper leaves open is done so. An instance that fails looks dearer
// than it says by the square of its failures, and one that lets this client's
// own calls wait is as slow as they are old. Where the pool can hold a probe of
// every instance it does, and a probe stays until the next one or until it is
// too old. Where too few probes are there, or nobody can be asked, the client
// goes by what it knows itself, as PeakEWMA does.
type Prequal struct {
	config PrequalConfig

	mu     sync.Mutex
	set    *balance.Set // that the pool was made for
	pool   [maxPool]probed
	n      int // probes in the pool
	now    time.Duration
	recent [64]float64 // calls in flight, as told lately
	heard  int
	hot    float64 // more calls in flight than this are many
	owed   float64 // probes to be sent
	due    float64 // probes to be removed
	worst  bool    // the next to be removed is the worst, not the oldest
	allow  float64 // probes that may be sent just now
	since  time.Duration
	asked  uint64
	picks  uint64
}

const maxPool = 16

// A probed is a peer and what it said.
type probed struct {
	peer    *balance.Peer
	rif     float64 // requests in flight, by weight; our own since then included
	latency time.Duration
	at      time.Duration
	uses    int // that are left; below 0: any number
}

// NewPrequal returns a Prequal.
func NewPrequal(c PrequalConfig) *Prequal {
	c.Probes = cmp.Or(c.Probes, 3)
	c.Quantile = cmp.Or(c.Quantile, 0.84)
	c.Pool = min(cmp.Or(c.Pool, maxPool), maxPool)
	c.Age = cmp.Or(c.Age, time.Second)
	c.Remove = cmp.Or(c.Remove, 1)
	c.Rate = cmp.Or(c.Rate, 1000)
	return &Prequal{config: c, hot: math.Inf(1), allow: c.Rate / 10}
}

// Pick looks at the probes in the pool.
func (q *Prequal) Pick(c balance.Call, s *balance.Set) balance.Choice {
	if !s.Asks() {
		return PeakEWMA{}.Pick(c, s)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.now = c.Now
	q.picks++
	q.follow(s)
	q.ask(s)
	q.age()
	if q.n < 2 {
		return PeakEWMA{}.Pick(c, s)
	}
	best, over := q.best()
	choice := q.choice(best, over)
	q.use(best, s)
	return choice
}

// follow takes leave of who has left the set.
func (q *Prequal) follow(s *balance.Set) {
	if q.set == s {
		return
	}
	q.set = s
	q.keep(func(p *probed) bool { return member(s, p.peer) })
}

// member reports whether a peer is of a set.
func member(s *balance.Set, p *balance.Peer) bool {
	i, found := slices.BinarySearchFunc(s.Peers, p, func(a, b *balance.Peer) int { return strings.Compare(a.ID(), b.ID()) })
	return found && s.Peers[i] == p
}

// keep removes from the pool all that are not to be kept.
func (q *Prequal) keep(ok func(*probed) bool) {
	n := 0
	for i := range q.n {
		if ok(&q.pool[i]) {
			q.pool[n] = q.pool[i]
			n++
		}
	}
	q.n = n
}

// ask sends this call's questions, to different peers.
func (q *Prequal) ask(s *balance.Set) {
	q.allow = min(q.allow+(q.now-q.since).Seconds()*q.config.Rate, q.config.Rate/10)
	q.since = q.now
	q.owed += q.config.Probes
	n := min(int(q.owed), len(s.Peers))
	q.owed -= math.Floor(q.owed)
	at, stride := s.Rand().IntN(len(s.Peers)), 1
	if len(s.Peers) > 2 {
		stride += s.Rand().IntN(len(s.Peers) - 1)
		for gcd(stride, len(s.Peers)) != 1 {
			stride = stride%(len(s.Peers)-1) + 1
		}
	}
	for ; n > 0 && q.allow >= 1; n-- {
		q.allow--
		q.asked++
		s.Ask(s.Peers[at])
		at = (at + stride) % len(s.Peers)
	}
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// age removes probes that say too little about now.
func (q *Prequal) age() {
	q.keep(func(p *probed) bool { return q.now-p.at <= q.config.Age })
}

// best is the probe of who is to be picked, and of the next best. There are two
// probes or more.
func (q *Prequal) best() (best, over int) {
	best, over = 0, -1
	for i := 1; i < q.n; i++ {
		if q.before(i, best) {
			best, over = i, best
		} else if over < 0 || q.before(i, over) {
			over = i
		}
	}
	return best, over
}

// before reports whether probe i is the better one: a cold one before a hot
// one, cold ones by latency, hot ones by calls in flight.
func (q *Prequal) before(i, j int) bool {
	a, b := &q.pool[i], &q.pool[j]
	ra, rb := q.rif(a), q.rif(b)
	hotA, hotB := ra > q.hot, rb > q.hot
	switch {
	case hotA != hotB:
		return hotB
	case hotA:
		return ra < rb
	}
	return q.latency(a) < q.latency(b)
}

// rif is the calls in flight that count, more where calls fail.
func (q *Prequal) rif(p *probed) float64 { return (p.rif + 1) * q.distrust(p) }

// latency is what an answer is expected to take, more where calls fail.
func (q *Prequal) latency(p *probed) float64 {
	told := p.latency
	if told == 0 {
		told = p.peer.Latency(q.now)
	}
	return float64(max(told, p.peer.Age(q.now))) * q.distrust(p) / p.peer.Weight()
}

// distrust is how much dearer a peer is than it says.
func (q *Prequal) distrust(p *probed) float64 {
	ok := max(p.peer.Success(q.now), 0.01)
	return 1 / (ok * ok)
}

func (q *Prequal) choice(best, over int) balance.Choice {
	a, b := &q.pool[best], &q.pool[over]
	c := balance.Choice{Peer: a.peer, Over: b.peer, Score: q.latency(a), OverThan: q.latency(b), Why: "of those that are not hot, the fastest"}
	if q.rif(a) > q.hot {
		c.Score, c.OverThan, c.Why = q.rif(a), q.rif(b), "all are hot: fewest calls in flight"
	} else if q.rif(b) > q.hot {
		c.Score, c.OverThan, c.Why = q.rif(a), q.rif(b), "the other one is hot"
	}
	return c
}

// use counts our own call, and takes from the pool what has served.
func (q *Prequal) use(i int, s *balance.Set) {
	p := &q.pool[i]
	p.rif += 1 / p.peer.Weight()
	if len(s.Peers) <= q.config.Pool {
		return
	}
	if p.uses--; p.uses <= 0 {
		q.remove(i)
	}
	for q.due += q.config.Remove; q.due >= 1; q.due-- {
		if q.n > 2 {
			q.remove(q.leastUseful())
		}
		q.worst = !q.worst
	}
}

func (q *Prequal) remove(i int) {
	q.n--
	q.pool[i] = q.pool[q.n]
}

// leastUseful is the oldest probe and the worst one by turns: the hottest if
// there is a hot one, else the slowest.
func (q *Prequal) leastUseful() (at int) {
	for i := 1; i < q.n; i++ {
		if q.worst && q.before(at, i) || !q.worst && q.pool[i].at < q.pool[at].at {
			at = i
		}
	}
	return at
}

// Hear takes an answer into the pool.
func (q *Prequal) Hear(p *balance.Peer, l balance.Load) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.set == nil || !member(q.set, p) {
		return // it left while it was asked
	}
	rif := float64(l.InFlight) / p.Weight()
	q.learn(rif + 1)
	e := probed{peer: p, rif: rif, latency: l.Latency, at: q.now, uses: q.reuse()}
	for i := range q.n {
		if q.pool[i].peer == p {
			q.pool[i] = e
			return
		}
	}
	if q.n == q.config.Pool {
		oldest := 0
		for i := range q.n {
			if q.pool[i].at < q.pool[oldest].at {
				oldest = i
			}
		}
		q.remove(oldest)
	}
	q.pool[q.n] = e
	q.n++
}

// learn keeps the distribution of calls in flight, and what is many of them.
func (q *Prequal) learn(rif float64) {
	q.recent[q.heard%len(q.recent)] = rif
	q.heard++
	if q.heard%8 != 0 {
		return
	}
	sorted := q.recent
	n := min(q.heard, len(sorted))
	slices.Sort(sorted[:n])
	q.hot = sorted[min(int(q.config.Quantile*float64(n)), n-1)]
}

// reuse is how many calls a probe serves (the paper's b_reuse, with δ = 1),
// rounded at random, so that probes are neither lacking nor stale. Where the
// formula has no answer, because the pool holds as many as there are, the
// number is not limited.
func (q *Prequal) reuse() int {
	n := float64(len(q.set.Peers))
	left := (1-float64(q.config.Pool)/n)*q.config.Probes - q.config.Remove
	if left <= 0 {
		return math.MaxInt
	}
	b := max(1, 2/left)
	return int(b + q.set.Rand().Float())
}

// Explain tells what the policy goes by.
func (q *Prequal) Explain() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.asked == 0 {
		return "Nobody can be asked how busy it is: it goes by what this client sees."
	}
	return fmt.Sprintf("It knows what %d instances said lately, takes more than %.3g calls in flight for many, and asks %.2g instances per call.",
		q.n, q.hot-1, float64(q.asked)/float64(max(q.picks, 1)))
}
