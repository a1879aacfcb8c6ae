package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"example.com/app/platform/balance"
	"example.com/app/platform/proxy/http1"
)

// A patience ends a request whose answer does not begin. It runs while the
// backend is the one to act, and rests while the client is.
type patience struct {
	limit time.Duration

	mu    sync.Mutex
	timer *time.Timer
	over  bool
}

func newPatience(limit time.Duration, cancel context.CancelCauseFunc) *patience {
	return &patience{limit: limit, timer: time.AfterFunc(limit, func() { cancel(http1.ErrTimeout) })}
}

func (p *patience) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer.Stop()
}

func (p *patience) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.timer.Reset(p.limit)
	}
}

func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.timer.Stop()
}

// A clientError is a body that the client did not finish.
type clientError struct{ err error }

func (e *clientError) Error() string { return fmt.Sprintf("read the request body: %v", e.err) }
func (e *clientError) Unwrap() error { return e.err }

// A readerError is an answer that the client did not take to its end.
type readerError struct{ err error }

func (e *readerError) Error() string { return fmt.Sprintf("write the answer: %v", e.err) }
func (e *readerError) Unwrap() error { return e.err }

// An upload is the body of a request on its way to a backend. It outlives a
// failed dial, which closes it, so that another instance can be tried.
type upload struct {
	body     io.Reader
	patience *patience
}

// Read reads from the client.
func (u *upload) Read(b []byte) (int, error) {
	u.patience.rest()
	defer u.patience.resume()
	n, err := u.body.Read(b)
	if err != nil && err != io.EOF {
		err = &clientError{err}
	}
	return n, err
}

// Close does nothing; see RoundTrip.
func (u *upload) Close() error { return nil }

// A pace is the rate that the body of an answer must keep up.
type pace struct {
	alarm  *http1.Alarm  // nil: any rate will do
	rate   int           // bytes that earn a second
	grace  time.Duration // the most that can be earned, so that no silence lasts longer
	credit time.Duration // how long it may keep us waiting
	began  time.Time     // to wait; zero: it is not waited for
}

// newPace returns the one for an answer, which alarm cuts.
func (t *carrier) newPace(h http.Header, alarm *http1.Alarm) pace {
	p := pace{rate: t.config.MinRate, grace: t.config.BodyGrace, credit: t.config.BodyGrace}
	if p.rate > 0 && !eventStream(h.Get("Content-Type")) {
		p.alarm = alarm
	}
	return p
}

// eventStream reports whether a Content-Type is that of an event stream.
func eventStream(kind string) bool {
	kind, _, _ = strings.Cut(kind, ";")
	return strings.EqualFold(strings.TrimSpace(kind), "text/event-stream")
}

// begin is called before the backend is waited for.
func (p *pace) begin() error {
	if p.alarm == nil {
		return nil
	}
	if p.credit <= 0 {
		return http1.ErrTimeout
	}
	p.began = time.Now()
	p.alarm.Set(p.credit)
	return nil
}

// end is called when it has brought n bytes.
func (p *pace) end(n int) {
	if p.alarm == nil {
		return
	}
	earned := time.Duration(n) * time.Second / time.Duration(p.rate)
	if !p.began.IsZero() {
		p.alarm.Stop()
		earned -= time.Since(p.began)
		p.began = time.Time{}
	}
	p.credit = min(p.credit+earned, p.grace)
}

// A download is the body of an answer, which must keep up a rate.
type download struct {
	body   io.ReadCloser
	pace   pace
	cancel context.CancelCauseFunc
	done   sync.Once
	flight balance.Flight
	ctx    context.Context // of the client's request
	end    balance.Outcome // how it has gone
}

// watch sees to it that the body of res comes in time, and that cancel is
// called and the flight ends when it has been read.
func (t *carrier) watch(ctx context.Context, res *http.Response, f balance.Flight, cancel context.CancelCauseFunc) {
	if res.StatusCode == http.StatusSwitchingProtocols {
		context.AfterFunc(res.Request.Context(), func() { f.Done(balance.OK) })
		return // a connection, not a body; it ends with the request
	}
	alarm := http1.NewAlarm(func() { cancel(http1.ErrTimeout) })
	res.Body = &download{body: res.Body, pace: t.newPace(res.Header, alarm), cancel: cancel, flight: f, ctx: ctx, end: balance.GivenUp}
}

// Read reads from the backend, and ends with an error when it was too slow.
func (d *download) Read(b []byte) (int, error) {
	if err := d.pace.begin(); err != nil {
		d.end = balance.Failed
		return 0, err
	}
	n, err := d.body.Read(b)
	d.pace.end(n)
	switch {
	case err == io.EOF:
		d.end = balance.OK
	case err != nil:
		d.end = outcome(d.ctx, err)
	}
	return n, err
}

// Close ends the answer.
func (d *download) Close() error {
	err := d.body.Close()
	d.cancel(nil)
	d.done.Do(func() { d.flight.Done(d.end) })
	return err
}
