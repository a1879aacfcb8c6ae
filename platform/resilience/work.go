// Package resilience keeps overload and failure small: it bounds how much work
// a role takes on at a time, and refuses the rest early and by name.
//
//	Limiter  an adaptive concurrency limit: how many calls an instance works on at a time
//	Budget   how many calls may be sent twice
//	Workers  what work costs where time is virtual
//
// The circuit breaker is not here but in package balance, which sees every call
// to an instance: closed is an instance that is fit, open is one that was
// ejected for its failures, half-open is one on trial, which gets a single call
// at a time until some in a row have succeeded. What RESOURCE_EXHAUSTED does is
// the same on a small scale: an instance that refuses calls gets fewer.
package resilience

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"example.com/app/platform/errs"
)

// A Work models what a call costs. In virtual time the processor is infinitely
// fast, so that without a modelled cost no simulated role is ever overloaded.
// The zero value is free and unlimited.
type Work struct {
	Time    time.Duration // each call holds a worker for so long before it is answered
	Workers int           // calls that are worked on at the same time; 0: no limit
	Queue   int           // calls that may wait for a worker; 0: 10 per worker
}

// ParseWork reads a Work from "20ms,workers=8,queue=100". The time may be left
// out or stand anywhere.
func ParseWork(s string) (Work, error) {
	var w Work
	for part := range strings.SplitSeq(s, ",") {
		key, value, pair := strings.Cut(strings.TrimSpace(part), "=")
		if !pair {
			key, value = "time", key
		}
		var err error
		switch key {
		case "time":
			w.Time, err = time.ParseDuration(value)
		case "workers":
			w.Workers, err = strconv.Atoi(value)
		case "queue":
			w.Queue, err = strconv.Atoi(value)
		default:
			err = fmt.Errorf("unknown setting %q", key)
		}
		if err != nil || w.Time < 0 || w.Workers < 0 || w.Queue < 0 {
			return Work{}, errs.Invalid.New("work %q: want a time and limits, as in 20ms,workers=8,queue=100", s)
		}
	}
	return w, nil
}

// String prints w as ParseWork reads it.
func (w Work) String() string {
	parts := []string{w.Time.String()}
	if w.Workers > 0 {
		parts = append(parts, "workers="+strconv.Itoa(w.Workers))
	}
	if w.Queue > 0 {
		parts = append(parts, "queue="+strconv.Itoa(w.Queue))
	}
	return strings.Join(parts, ",")
}

// Workers carries out a Work: it lets calls in, makes them wait, and turns
// away what does not fit. One value serves one instance, from many goroutines.
type Workers struct {
	work  Work
	slots chan struct{} // one element per call that is worked on; nil: no limit
	queue chan struct{} // one element per call that waits or is worked on
}

// NewWorkers returns the workers for w, or nil where w costs and limits nothing.
func NewWorkers(w Work) *Workers {
	if w == (Work{}) {
		return nil
	}
	ws := &Workers{work: w}
	if w.Workers > 0 {
		if w.Queue == 0 {
			w.Queue = 10 * w.Workers
		}
		ws.slots = make(chan struct{}, w.Workers)
		ws.queue = make(chan struct{}, w.Workers+w.Queue)
	}
	return ws
}

// Do waits for a worker, spends the modelled time, and calls f while it holds
// the worker. It fails with errs.Exhausted where the queue is full, and with
// the context's error, without calling f, where ctx ends first. A nil value
// calls f at once.
func (ws *Workers) Do(ctx context.Context, f func() error) error {
	if ws == nil {
		return f()
	}
	if ws.slots != nil {
		select {
		case ws.queue <- struct{}{}:
			defer func() { <-ws.queue }()
		default:
			return errs.Exhausted.New("all %d workers are busy and %d calls wait already", cap(ws.slots), cap(ws.queue)-cap(ws.slots)).
				Because("QUEUE_FULL")
		}
		select {
		case ws.slots <- struct{}{}:
			defer func() { <-ws.slots }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if ws.work.Time > 0 {
		spent := time.NewTimer(ws.work.Time)
		defer spent.Stop()
		select {
		case <-spent.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return f()
}
