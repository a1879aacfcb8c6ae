package proxy

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"sync"
	"time"
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
	return &patience{limit: limit, timer: time.AfterFunc(limit, func() { cancel(errSlow) })}
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

// A download is the body of an answer, which must keep up a rate.
type download struct {
	body   io.ReadCloser
	cancel context.CancelCauseFunc
	timer  *time.Timer   // nil: any rate will do
	rate   int           // bytes that earn a second
	grace  time.Duration // the most that can be earned, so that no silence lasts longer
	credit time.Duration // how long it may keep us waiting
}

// pace sees to it that the body of res comes in time, and that cancel is called
// when it has been read.
func (t *carrier) pace(res *http.Response, cancel context.CancelCauseFunc) {
	if res.StatusCode == http.StatusSwitchingProtocols {
		return // a connection, not a body; it ends with the request
	}
	d := &download{body: res.Body, cancel: cancel, rate: t.config.MinRate, grace: t.config.BodyGrace, credit: t.config.BodyGrace}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if d.rate > 0 && kind != "text/event-stream" {
		d.timer = time.AfterFunc(d.credit, func() { cancel(errSlow) })
		d.timer.Stop()
	}
	res.Body = d
}

// Read reads from the backend, and ends with an error when it was too slow.
func (d *download) Read(b []byte) (int, error) {
	if d.timer == nil {
		return d.body.Read(b)
	}
	if d.credit <= 0 {
		return 0, errSlow
	}
	began := time.Now()
	d.timer.Reset(d.credit)
	n, err := d.body.Read(b)
	d.timer.Stop()
	earned := time.Duration(n) * time.Second / time.Duration(d.rate)
	d.credit = min(d.credit+earned-time.Since(began), d.grace)
	return n, err
}

// Close ends the answer.
func (d *download) Close() error {
	if d.timer != nil {
		d.timer.Stop()
	}
	err := d.body.Close()
	d.cancel(nil)
	return err
}
