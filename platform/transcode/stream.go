package transcode

import (
	"bytes"
	"context"
	"mime"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/status"
)

// A stream writes the lines of the generated code to the client, as they are or
// as server-sent events. The headers go out with the first line, so that a
// stream that fails before it has begun is answered like any other error.
//
// The generated code writes on one goroutine and the keep-alive on another.
type stream struct {
	w   http.ResponseWriter
	r   *http.Request
	rc  *http.ResponseController
	own http.Header // the generated code's, which the client never sees
	sse bool

	lock    chan struct{} // holds one while someone writes; a mutex must not wait for a network
	begun   bool
	refused bool
	line    []byte // of an event, until it is whole
}

// writeTimeout is how long a client may take to read what one write sent. It
// replaces the server's own, which counts from the request on.
const writeTimeout = 30 * time.Second

// stream runs one stream to its end.
func (h *handler) stream(w http.ResponseWriter, r *http.Request, run func(http.ResponseWriter)) {
	s := &stream{
		w: w, r: r, rc: http.NewResponseController(w), own: http.Header{},
		sse: acceptsEvents(r.Header), lock: make(chan struct{}, 1),
	}
	// Both deadlines are about requests that end; where the server has none
	// to set, there is nothing to undo.
	_ = s.rc.SetReadDeadline(time.Time{})
	defer func() { _ = s.rc.SetWriteDeadline(time.Time{}) }()

	ctx, cancel := context.WithCancel(r.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if s.sse {
			s.keepAlive(ctx, h.cfg.KeepAlive)
		}
	}()
	run(s)
	cancel()
	<-ended
	s.begin() // a stream without a line is still a stream
}

// acceptsEvents says whether the client wants server-sent events.
func acceptsEvents(h http.Header) bool {
	for _, accept := range h.Values("Accept") {
		for part := range strings.SplitSeq(accept, ",") {
			media, params, err := mime.ParseMediaType(part)
			if err == nil && media == "text/event-stream" && params["q"] != "0" {
				return true
			}
		}
	}
	return false
}

// streamStatus keeps the error for WriteHeader.
func streamStatus(ctx context.Context, err error) *status.Status {
	callOf(ctx).err = err
	return statusOf(err, 0)
}

// begin sends the headers, once.
func (s *stream) begin() {
	if s.begun {
		return
	}
	s.begun = true
	h := s.w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	if s.sse {
		h.Set("Content-Type", "text/event-stream")
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // or nginx would hold lines back
	s.w.WriteHeader(http.StatusOK)
}

// Header is for the generated code alone.
func (s *stream) Header() http.Header { return s.own }

// WriteHeader is called when the stream fails before its first line.
func (s *stream) WriteHeader(code int) {
	s.lock <- struct{}{}
	defer func() { <-s.lock }()
	if s.begun || code < http.StatusBadRequest {
		return
	}
	s.begun, s.refused = true, true
	WriteError(s.w, s.r, callOf(s.r.Context()).err)
}

// Write takes a line or a part of one.
func (s *stream) Write(p []byte) (int, error) {
	s.lock <- struct{}{}
	defer func() { <-s.lock }()
	if s.refused {
		return len(p), nil
	}
	s.begin()
	_ = s.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if !s.sse {
		return s.w.Write(p)
	}
	s.line = append(s.line, p...)
	for {
		line, rest, whole := bytes.Cut(s.line, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		if _, err := s.w.Write(event(line)); err != nil {
			return 0, err
		}
		s.line = rest
	}
}

// event is a line as an event: {"result":X} is a message with X for data, and
// {"error":X} an event of its own name.
func event(line []byte) []byte {
	name := "error"
	if inner, ok := bytes.CutPrefix(line, []byte(`{"result":`)); ok {
		name, line = "", bytes.TrimSuffix(inner, []byte("}"))
	}
	var b bytes.Buffer
	if name != "" {
		b.WriteString("event: " + name + "\n")
	}
	b.WriteString("data: ")
	b.Write(line)
	b.WriteString("\n\n")
	return b.Bytes()
}

// FlushError sends what was written. It is found by http.ResponseController.
func (s *stream) FlushError() error {
	s.lock <- struct{}{}
	defer func() { <-s.lock }()
	defer s.rest()
	return s.rc.Flush()
}

// rest ends the client's time to read, until there is something to read again:
// HTTP/2 would reset a stream that is silent when it is over.
func (s *stream) rest() { _ = s.rc.SetWriteDeadline(time.Time{}) }

// keepAlive writes a comment now and then until ctx ends, so that nobody on the
// way takes silence for death.
func (s *stream) keepAlive(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.comment()
		}
	}
}

// comment writes an empty comment. If it fails, so will the next line.
func (s *stream) comment() {
	s.lock <- struct{}{}
	defer func() { <-s.lock }()
	if s.refused {
		return
	}
	s.begin()
	_ = s.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, _ = s.w.Write([]byte(":\n\n"))
	_ = s.rc.Flush()
	s.rest()
}
