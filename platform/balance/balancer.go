package balance

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.com/app/platform/registry"
)

// A Balancer shares the calls of one client among the instances of one role.
// Its methods may be called from many goroutines.
type Balancer struct {
	cfg       Config
	began     time.Time
	rand      Rand
	usual     average      // latency of answers, of all peers
	first     atomic.Int64 // when somebody could be reached, after nobody could
	questions questions

	view atomic.Pointer[view]
	last lastPick

	picks                                      atomic.Uint64
	inFlight                                   atomic.Int64 // of all peers
	ejections, panics, spills, sampled, trials atomic.Uint64

	mu       sync.Mutex
	peers    map[string]*Peer
	listed   int
	here     []*Peer       // who can be reached, in order of id
	reviewed time.Duration // when success rates were last compared
}

// New returns a Balancer without instances. Close ends what it starts.
func New(cfg Config) *Balancer {
	b := &Balancer{cfg: cfg.withDefaults(), began: time.Now(), peers: make(map[string]*Peer)}
	if cfg.Seed == 0 {
		cfg.Seed = rand.Uint64()
	}
	b.rand.state.Store(cfg.Seed)
	b.view.Store(&view{all: &Set{balancer: balancer{b}}, next: never})
	b.questions.start(b)
	return b
}

// An Endpoint is an instance that can be reached, and what by, which is the
// owner's business: Peer.Via gives it back.
type Endpoint struct {
	registry.Instance
	Via any
}

// Update tells who can be reached now, each id once, out of how many listed
// ones. What is known of instances that were there before stays.
func (b *Balancer) Update(set []Endpoint, listed int) {
	now := b.now()
	b.change(now, func() { b.follow(set, listed, now) })
}

// follow takes over the endpoints. b.mu is held.
func (b *Balancer) follow(set []Endpoint, listed int, now time.Duration) {
	if len(b.here) == 0 {
		b.first.Store(int64(now))
	}
	present := make(map[string]bool, len(set))
	here := make([]*Peer, len(set))
	for i, e := range set {
		present[e.ID] = true
		here[i] = b.peer(e, now)
	}
	slices.SortFunc(here, byID)
	for id, p := range b.peers {
		switch gone := p.absent.Load(); {
		case present[id]:
		case gone < 0:
			p.absent.Store(int64(now))
		case now-time.Duration(gone) > b.cfg.Keep:
			delete(b.peers, id)
		}
	}
	b.here, b.listed = here, max(listed, len(here))
}

// peer is the one for an endpoint, as of now.
func (b *Balancer) peer(e Endpoint, now time.Duration) *Peer {
	p := b.peers[e.ID]
	if p == nil {
		p = &Peer{id: e.ID, balancer: b}
		p.listed.Store(int64(now))
		b.peers[e.ID] = p
	}
	p.absent.Store(-1)
	if old := p.instance.Load(); old == nil || !old.Equal(e.Instance) {
		in := e.Instance.Clone()
		p.instance.Store(&in)
		p.weight.Store(int64(max(in.Weight, 1)))
	}
	p.via.Store(via{e.Via})
	return p
}

// A Flight is a call on its way. Done must be called once, whatever happens. It
// belongs to one goroutine at a time.
type Flight struct {
	Peer *Peer

	began    time.Duration
	long     bool
	trial    bool
	answered bool
	first    Outcome // what Answer told
}

// Answer tells that the answer has begun, and of what kind it is. From then on
// the call counts as in flight, but its time no longer speaks for the instance.
// It may be left out where the answer comes at once.
func (f *Flight) Answer(o Outcome) {
	if f.answered {
		return
	}
	f.answered, f.first = true, o
	b := f.Peer.balancer
	now := b.now()
	f.Peer.answer(f.began, now, f.long, o)
	b.judge(f, now, o)
}

// Done tells that the call has ended, and how. Where Answer has told already
// what became of it, an answer that began well may still have broken off, and
// counts as failed then.
func (f *Flight) Done(o Outcome) {
	whole := !f.answered
	f.Answer(o)
	f.Peer.inFlight.Add(-1)
	f.Peer.balancer.inFlight.Add(-1)
	if !whole && f.first == OK {
		f.Peer.balancer.conclude(f, o)
	}
}

// Pick chooses whom to send a call to. False means that nobody can be reached,
// or nobody that the call was not sent to already. Call.Now is filled in.
func (b *Balancer) Pick(c Call) (Flight, bool) {
	c.Now = b.now()
	v := b.view.Load()
	if c.Now >= v.next {
		v = b.review(c.Now)
	}
	if len(v.all.Peers) == 0 {
		return Flight{}, false
	}
	choice, ok := b.choose(c, v)
	if !ok {
		return Flight{}, false
	}
	b.last.note(c.Now, choice)
	choice.Peer.start(c.Now, c.Long)
	return Flight{Peer: choice.Peer, began: c.Now, long: c.Long, trial: choice.Why == whyTrial}, true
}

// choose puts what must come first before the policy: a call that tries whether
// an ejected peer is well again, and the zone.
func (b *Balancer) choose(c Call, v *view) (Choice, bool) {
	if len(c.Avoid) > 0 {
		return b.chooseOther(c, v)
	}
	for _, p := range v.trials {
		if p.trying.CompareAndSwap(false, true) {
			b.trials.Add(1)
			return Choice{Peer: p, Why: whyTrial}, true
		}
	}
	set := b.near(c, v)
	if len(set.Peers) == 1 {
		return Choice{Peer: set.Peers[0], Why: "the only one"}, true
	}
	choice := b.cfg.Policy.Pick(c, set)
	if ramp := choice.Peer.Ramp(c.Now); ramp < 1 && b.rand.Float() >= ramp {
		choice = b.instead(c, set, choice)
	}
	return choice, true
}

// instead is another choice than one that is too new for it: the next best, or
// whom the policy picks when it is asked again.
func (b *Balancer) instead(c Call, s *Set, choice Choice) Choice {
	if choice.Over == nil {
		return b.cfg.Policy.Pick(c, s)
	}
	choice.Peer, choice.Over = choice.Over, choice.Peer
	choice.Score, choice.OverThan = choice.OverThan, choice.Score
	choice.Why = "the other one is new"
	return choice
}

const whyTrial = "to try whether it is well again"

// chooseOther chooses among those that the call was not sent to. It is rare,
// and may cost something.
func (b *Balancer) chooseOther(c Call, v *view) (Choice, bool) {
	for _, from := range [][]*Peer{v.all.Peers, v.reachable} {
		var rest []*Peer
		for _, p := range from {
			if !slices.Contains(c.Avoid, p.id) {
				rest = append(rest, p)
			}
		}
		switch len(rest) {
		case 0:
		case 1:
			return Choice{Peer: rest[0], Why: "the only one not tried"}, true
		default:
			choice := cheapest(c.Now, rest)
			choice.Why = "not tried yet, " + choice.Why
			return choice, true
		}
	}
	return Choice{}, false
}

// cheapest looks at all of them.
func cheapest(now time.Duration, peers []*Peer) Choice {
	c := Choice{Peer: peers[0], Score: peers[0].Cost(now), Why: "lower cost"}
	for _, p := range peers[1:] {
		if cost := p.Cost(now); c.Over == nil || cost < c.OverThan {
			c.Over, c.OverThan = p, cost
			if cost < c.Score {
				c.Peer, c.Over, c.Score, c.OverThan = c.Over, c.Peer, c.OverThan, c.Score
			}
		}
	}
	return c
}

// Close ends the questions to instances. Picks go on to work.
func (b *Balancer) Close() { b.questions.stop() }

func (b *Balancer) now() time.Duration {
	if b.cfg.Now != nil {
		return b.cfg.Now()
	}
	return time.Since(b.began)
}

// typical is what an answer takes in ns, whoever gives it, but not less than a
// millisecond: differences below that are of the machine's making. It does not
// fade.
func (b *Balancer) typical() float64 {
	return max(math.Float64frombits(b.usual.bits.Load()), float64(time.Millisecond))
}

// usually is typical, or x where nobody has answered before.
func (b *Balancer) usually(x float64) float64 {
	if b.usual.stamp.Load() == 0 {
		return x
	}
	return math.Float64frombits(b.usual.bits.Load())
}

func (b *Balancer) heard(now time.Duration, took float64) {
	if b.usual.stamp.Load() == 0 {
		b.usual.set(now, took)
		return
	}
	b.usual.add(now, never, took, usualStep)
}

// usualStep is how much one answer moves what is usual.
const usualStep = 0.05
