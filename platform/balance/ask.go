package balance

import (
	"context"
	"sync"
)

// questions asks peers for their load, off the way of calls.
type questions struct {
	asks   func(*Peer) // stands in for the queue; nil: the queue is used
	queue  chan *Peer  // nil: nobody asks
	askers sync.WaitGroup
	cancel context.CancelFunc
}

// At most so many questions are open, and so many wait. More are dropped: they
// would be answered too late to be of use.
const (
	askers  = 8
	waiting = 32
)

// start begins to ask, where there is a policy that wants to know and somebody
// who can ask.
func (q *questions) start(b *Balancer) {
	hearer, ok := b.cfg.Policy.(Hearer)
	if ok && b.cfg.Ask != nil {
		q.asks = func(p *Peer) { b.cfg.Ask(p, func(l Load) { hearer.Hear(p, l) }) }
	}
	if !ok || b.cfg.Prober == nil || q.asks != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	q.queue, q.cancel = make(chan *Peer, waiting), cancel
	for range askers {
		q.askers.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case p := <-q.queue:
					b.probe(ctx, p, hearer)
				}
			}
		})
	}
}

// probe asks one peer.
func (b *Balancer) probe(ctx context.Context, p *Peer, hearer Hearer) {
	defer p.asked.Store(false)
	ctx, cancel := context.WithTimeout(ctx, b.cfg.ProbeTimeout)
	defer cancel()
	if l, err := b.cfg.Prober.Probe(ctx, p); err == nil {
		hearer.Hear(p, l)
	}
}

// ask puts a question, unless the same one is open or there is no room.
func (q *questions) ask(p *Peer) {
	if q.asks != nil {
		q.asks(p)
		return
	}
	if q.queue == nil || !p.asked.CompareAndSwap(false, true) {
		return
	}
	select {
	case q.queue <- p:
	default:
		p.asked.Store(false)
	}
}

func (q *questions) stop() {
	if q.queue != nil {
		q.cancel()
		q.askers.Wait()
	}
}
