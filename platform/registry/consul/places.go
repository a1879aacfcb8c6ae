package consul

import (
	"context"
	"errors"
	"sync"
	"time"
)

// places limits how many questions wait at Consul at a time, which refuses
// more than 200 connections of one client. Where there are more lines than
// places, all take turns: nobody waits for longer than a turn, and nobody is
// left out. Its methods may be called from many goroutines.
type places struct {
	taken chan struct{} // holds a token for each question that waits

	mu    sync.Mutex
	lines int
	calm  context.Context // ends when there are more lines than places
	end   context.CancelFunc
}

// turnTime is how long a question waits where others want its place. It bounds
// what a line can miss while it has none: with twice as many lines as places,
// as long again.
const turnTime = 3 * time.Second

// errCrowded is the end of a question whose place others need.
var errCrowded = errors.New("others want to ask")

func newPlaces(most int) *places {
	p := &places{taken: make(chan struct{}, most)}
	p.calm, p.end = context.WithCancel(context.Background())
	return p
}

// join counts a line in; what it returns counts it out. The first line too
// many ends all questions that settled down to wait, in the time of a turn.
func (p *places) join() func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines++
	if p.lines > cap(p.taken) {
		p.end()
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.lines--
		if p.lines <= cap(p.taken) && p.calm.Err() != nil {
			p.calm, p.end = context.WithCancel(context.Background())
		}
	}
}

// A place is where a question waits.
type place struct {
	context.Context               // that of the question; ends with errCrowded when others need the place
	wait            time.Duration // for so long at most
	leave           func()        // to be called once
}

// enter waits for a place, for a question that would wait there for long. It
// returns the error of ctx if that ends first. Where the place is needed later,
// it is by grace that the question may stay.
func (p *places) enter(ctx context.Context, long, grace time.Duration) (place, error) {
	select {
	case p.taken <- struct{}{}:
	case <-ctx.Done():
		return place{}, ctx.Err()
	}
	p.mu.Lock()
	calm := p.calm
	p.mu.Unlock()
	select {
	case <-calm.Done():
		return place{ctx, min(long, turnTime), func() { <-p.taken }}, nil
	default:
	}
	stay, cancel := context.WithCancelCause(ctx)
	forget := context.AfterFunc(calm, func() {
		time.AfterFunc(grace, func() { cancel(errCrowded) })
	})
	return place{stay, long, func() {
		forget()
		cancel(nil)
		<-p.taken
	}}, nil
}
