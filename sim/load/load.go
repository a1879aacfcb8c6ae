// Package load is the people outside a fleet, and what they ask for.
//
// A load is open: requests are sent when they are due, whatever becomes of those
// before, as the real outside does. A closed one, whose users wait for each
// answer, asks less the worse it goes, and hides what it should show.
package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"example.com/app/platform/app"
)

// A Call is something that a user does: one request, or several in turn.
type Call struct {
	Name   string        // as in "GET /v1/greetings/Ada"
	Weight float64       // how often it is done, beside others; all 0: in turn
	Steps  int           // requests that it sends in turn; 0 means 1
	Think  time.Duration // what it waits between them, all together
	Do     func(ctx context.Context, u *User) error
}

// Request is the call that sends one request without a body, as in
// "GET /v1/greetings/Ada", or with one in JSON, as in "POST /v1/x {...}".
func Request(text string) Call {
	method, rest, _ := strings.Cut(text, " ")
	path, body, _ := strings.Cut(rest, " ")
	return Call{Name: method + " " + path, Do: func(ctx context.Context, u *User) error {
		_, err := u.Do(ctx, method, path, body)
		return err
	}}
}

// Requests are calls of one request each.
func Requests(texts ...string) []Call {
	var all []Call
	for _, t := range texts {
		all = append(all, Request(t))
	}
	return all
}

// Session is a call that does several in turn, and thinks in between. It ends
// with the first that fails.
func Session(name string, think time.Duration, calls ...Call) Call {
	pauses := time.Duration(max(0, len(calls)-1)) * think
	return Call{Name: name, Steps: len(calls), Think: pauses, Do: func(ctx context.Context, u *User) error {
		pause := time.NewTimer(time.Hour)
		defer pause.Stop()
		for i, c := range calls {
			if i > 0 && think > 0 {
				pause.Reset(think)
				select {
				case <-pause.C:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			if err := c.Do(ctx, u); err != nil {
				return fmt.Errorf("%s: %w", c.Name, err)
			}
		}
		return nil
	}}
}

// Of is what the roles say that a user asks for.
func Of(roles []app.Role) []Call {
	var all []Call
	for _, r := range roles {
		all = append(all, Requests(r.Load...)...)
	}
	return all
}

// A Load is what users do, and when.
type Load struct {
	Calls    []Call
	Arrivals Arrivals      // when a call is due
	Duration time.Duration // after which none is
	Seed     uint64        // of the arrivals and the choice of calls
}

// Done is a call that has ended.
type Done struct {
	Call  string
	Steps int           // requests that it sent in turn, at most
	Think time.Duration // that it waited between them
	ID    string        // that its requests carry
	Began time.Duration // after the load began
	Took  time.Duration
	Err   error
}

// Run has a user do the load, and returns when the last call has ended. Each is
// told to done, which may be called from many goroutines.
func (l Load) Run(ctx context.Context, u *User, done func(Done)) {
	begin := time.Now()
	l.Each(ctx, func(i int, c Call) {
		d := Done{Call: c.Name, Steps: max(1, c.Steps), Think: c.Think, ID: fmt.Sprintf("r%d", i), Began: time.Since(begin)}
		d.Err = c.Do(With(ctx, d.ID), u)
		d.Took = time.Since(begin) - d.Began
		done(d)
	})
}

// Each calls do for each call when it is due, on a goroutine of its own, until
// ctx ends, and returns when the last one has.
func (l Load) Each(ctx context.Context, do func(i int, c Call)) {
	var doing sync.WaitGroup
	defer doing.Wait()
	if len(l.Calls) == 0 || l.Arrivals == nil {
		return
	}
	start := time.Now()
	tick := time.NewTimer(time.Hour)
	defer tick.Stop()
	choice := rand.New(rand.NewPCG(l.Seed, 1))
	i := 0
	for due := range l.Arrivals(rand.New(rand.NewPCG(l.Seed, 2))) {
		if due >= l.Duration {
			return
		}
		if wait := time.Until(start.Add(due)); wait > 0 {
			tick.Reset(wait)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
		n, c := i, l.choose(i, choice)
		doing.Go(func() { do(n, c) })
		i++
	}
}

// choose takes the i-th call: in turn, or by weight.
func (l Load) choose(i int, r *rand.Rand) Call {
	sum := 0.0
	for _, c := range l.Calls {
		sum += c.Weight
	}
	if sum <= 0 {
		return l.Calls[i%len(l.Calls)]
	}
	x := r.Float64() * sum
	for _, c := range l.Calls {
		if x -= c.Weight; x < 0 {
			return c
		}
	}
	return l.Calls[len(l.Calls)-1]
}

// requestID is the header that names a request.
const requestID = "X-Request-Id"

// idKey is where With keeps an id.
type idKey struct{}

// With names the requests that are sent with a context.
func With(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, idKey{}, id)
}

// ID is the name that With gave the context; empty: none.
func ID(ctx context.Context) string {
	id, _ := ctx.Value(idKey{}).(string)
	return id
}

// name names a request after its context.
func name(req *http.Request) {
	if id := ID(req.Context()); id != "" {
		req.Header.Set(requestID, id)
	}
}
