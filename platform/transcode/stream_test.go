package transcode_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/transcode"
)

// open starts a stream and returns its lines as they come; closed at its end.
func open(t *testing.T, srv *httptest.Server, path string, headers ...string) (*http.Response, <-chan string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", srv.URL+path, nil)
	require.NoError(t, err)
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ": ")
		r.Header.Set(k, v)
	}
	res, err := srv.Client().Do(r)
	require.NoError(t, err)
	lines := make(chan string)
	go func() {
		defer close(lines)
		defer func() { _ = res.Body.Close() }()
		for s := bufio.NewScanner(res.Body); s.Scan(); {
			select {
			case lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return res, lines
}

// let lets the echo go on.
func let(t *testing.T, wait chan<- struct{}) {
	t.Helper()
	select {
	case wait <- struct{}{}:
	case <-time.After(10 * time.Second):
		require.Fail(t, "the stream does not wait")
	}
}

func TestAStreamIsLinesThatComeAtOnce(t *testing.T) {
	wait := make(chan struct{})
	srv := serve(t, transcode.Config{}, &echo{wait: wait})
	res, lines := open(t, srv, "/v1/echoes/Ada:repeat?times=3")
	require.Equal(t, 200, res.StatusCode)
	require.Equal(t, "application/x-ndjson", res.Header.Get("Content-Type"))
	require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
	require.Equal(t, "no", res.Header.Get("X-Accel-Buffering"))
	require.NotEmpty(t, res.Header.Get("X-Request-Id"))
	// The server sends the next one only after the one before was read.
	require.Equal(t, `{"result":{"name":"Ada","times":1,"metadata":[],"secondsLeft":"0","tagList":[]}}`, <-lines)
	let(t, wait)
	require.Contains(t, <-lines, `"times":2`)
	let(t, wait)
	require.Contains(t, <-lines, `"times":3`)
	_, more := <-lines
	require.False(t, more)
}

func TestAStreamIsEventsForThoseWhoWantThem(t *testing.T) {
	srv := serve(t, transcode.Config{}, &echo{})
	for _, accept := range []string{"text/event-stream", "text/html, text/event-stream;q=0.5"} {
		a := do(t, srv, "GET", "/v1/echoes/Ada:repeat?times=2", "", "Accept: "+accept)
		require.Equal(t, "text/event-stream", a.Header.Get("Content-Type"))
		require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
		require.Equal(t, "no", a.Header.Get("X-Accel-Buffering"))
		require.Equal(t, `data: {"name":"Ada","times":1,"metadata":[],"secondsLeft":"0","tagList":[]}

data: {"name":"Ada","times":2,"metadata":[],"secondsLeft":"0","tagList":[]}

`, a.text)
	}
	a := do(t, srv, "GET", "/v1/echoes/Ada:repeat?times=1", "", "Accept: text/event-stream;q=0, */*")
	require.Equal(t, "application/x-ndjson", a.Header.Get("Content-Type"))
}

func TestAStreamThatFailsOnItsWaySaysSo(t *testing.T) {
	srv := serve(t, transcode.Config{}, &echo{})
	a := do(t, srv, "GET", "/v1/echoes/half:repeat?times=1", "")
	require.Equal(t, 200, a.StatusCode)
	lines := strings.Split(a.text, "\n")
	require.Len(t, lines, 3)
	require.True(t, strings.HasPrefix(lines[1], `{"error":{"code":409,"status":"ABORTED","message":"no more","details":[`), lines[1])
	require.Empty(t, lines[2])

	a = do(t, srv, "GET", "/v1/echoes/half:repeat?times=1", "", "Accept: text/event-stream")
	require.Contains(t, a.text, "\n\nevent: error\ndata: "+lines[1]+"\n\n")
}

func TestAnEmptyStreamIsAStream(t *testing.T) {
	srv := serve(t, transcode.Config{}, &echo{})
	for accept, want := range map[string]string{"*/*": "application/x-ndjson", "text/event-stream": "text/event-stream"} {
		a := do(t, srv, "GET", "/v1/echoes/Ada:repeat", "", "Accept: "+accept)
		require.Equal(t, 200, a.StatusCode)
		require.Equal(t, want, a.Header.Get("Content-Type"))
		require.Empty(t, a.text)
	}
}

func TestASilentEventStreamIsKeptAlive(t *testing.T) {
	wait := make(chan struct{})
	srv := serve(t, transcode.Config{KeepAlive: time.Millisecond}, &echo{wait: wait})
	_, lines := open(t, srv, "/v1/echoes/half:repeat?times=2", "Accept: text/event-stream")
	for line := range lines { // comments may be faster than the first message
		if strings.HasPrefix(line, "data: ") {
			break
		}
	}
	for range 3 {
		for line := range lines {
			if line == ":" {
				break
			}
		}
	}
	let(t, wait)
	var rest []string
	for line := range lines {
		if line != ":" && line != "" {
			rest = append(rest, line)
		}
	}
	require.Len(t, rest, 3, "the second message, and the error: %q", rest)
	require.Equal(t, "event: error", rest[1])
}

// A deadlines records what deadlines a handler sets, in order.
type deadlines struct {
	*httptest.ResponseRecorder
	read, write []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { d.read = append(d.read, t); return nil }
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = append(d.write, t); return nil }

func TestAStreamOutlivesTheServersTimeouts(t *testing.T) {
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	handler(t, transcode.Config{}, &echo{}).ServeHTTP(w, httptest.NewRequest("GET", "/v1/echoes/Ada:repeat?times=2", nil))
	require.Equal(t, []time.Time{{}}, w.read, "no deadline for a request that is read")
	require.NotEmpty(t, w.write)
	var turns []bool // true: there is something to read
	for _, at := range w.write {
		require.True(t, at.IsZero() || at.After(time.Now()), "each write has its own time")
		turns = append(turns, !at.IsZero())
	}
	require.Equal(t, []bool{true, false, true, false, false}, slices.CompactFunc(turns, func(a, b bool) bool { return a && b }),
		"after each line it ends, or HTTP/2 would reset a stream that is silent; the next request on the connection starts anew")
}

func TestAClientThatLeavesEndsTheStream(t *testing.T) {
	ended := make(chan struct{})
	inner := handler(t, transcode.Config{}, &echo{wait: make(chan struct{})})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", srv.URL+"/v1/echoes/Ada:repeat?times=2", nil)
	require.NoError(t, err)
	res, err := srv.Client().Do(r)
	require.NoError(t, err)
	cancel()
	<-ended
	require.NoError(t, res.Body.Close())
}

func TestAStreamHasTheDeadlineItAskedFor(t *testing.T) {
	srv := serve(t, transcode.Config{}, &echo{wait: make(chan struct{})})
	a := do(t, srv, "GET", "/v1/echoes/Ada:repeat?times=2", "", "Grpc-Timeout: 50m")
	require.Contains(t, a.text, `{"error":{"code":504,"status":"DEADLINE_EXCEEDED","message":"the call took too long"}}`)
}
