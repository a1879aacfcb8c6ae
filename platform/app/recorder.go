package app

import (
	"mime"
	"net/http"
	"sync/atomic"
	"time"

	"example.com/app/platform/resilience"
)

// A recorder remembers the status of an answer, and gives its place back.
type recorder struct {
	http.ResponseWriter
	code    int
	written bool
	place   resilience.Permit
	left    atomic.Bool // the place has been given back
	lasts   *time.Timer // gives it back; nil: the answer may still be a short one
}

// patient is how long an answer may go on after its first flush and still count
// as a call. From then on its reader decides how long it takes.
const patient = 5 * time.Second

// limited notes the place that the request has.
func (r *recorder) limited(place resilience.Permit) { r.place = place }

// lasting gives the place back before the end of an answer that lasts as long
// as its reader likes: a stream, a websocket, a long body. It says nothing of
// the load.
func (r *recorder) lasting() { r.leave(resilience.Failed) }

// end gives the place back where the request has ended.
func (r *recorder) end() {
	if r.lasts != nil {
		r.lasts.Stop()
	}
	var how resilience.End
	if r.code >= http.StatusInternalServerError {
		how = resilience.Failed
	}
	r.leave(how)
}

// leave gives the place back, once.
func (r *recorder) leave(how resilience.End) {
	if r.left.CompareAndSwap(false, true) {
		r.place.Release(how)
	}
}

// wrote notes a status, unless one was written before.
func (r *recorder) wrote(code int) {
	if !r.written && (code >= 200 || code == http.StatusSwitchingProtocols) {
		r.code, r.written = code, true
		if code == http.StatusSwitchingProtocols {
			r.lasting()
		}
	}
}

// WriteHeader notes the status and sends it.
func (r *recorder) WriteHeader(code int) {
	r.wrote(code)
	r.ResponseWriter.WriteHeader(code)
}

// Write sends a part of the body.
func (r *recorder) Write(b []byte) (int, error) {
	r.wrote(http.StatusOK)
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach flushing, hijacking and deadlines.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Flush sends what has been written. That alone makes no stream of an answer: a
// proxy flushes each answer whose length it does not know, and their places are
// what keeps a server from taking in more than it can do.
func (r *recorder) Flush() {
	r.wrote(http.StatusOK)
	switch {
	case streams(r.Header()):
		r.lasting()
	case r.lasts == nil && !r.left.Load():
		r.lasts = time.AfterFunc(patient, r.lasting)
	}
	_ = http.NewResponseController(r.ResponseWriter).Flush()
}

// streams reports whether an answer is of a kind that goes on for ever.
func streams(h http.Header) bool {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return false
	}
	switch kind {
	case "text/event-stream", "application/x-ndjson", "application/grpc", "application/grpc-web":
		return true
	}
	return false
}
