package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// An answerer is a RoundTripper that always has the same answer.
type answerer func() *http.Response

func (f answerer) RoundTrip(*http.Request) (*http.Response, error) { return f(), nil }

// A flushless writer counts flushes.
type flushless struct {
	*httptest.ResponseRecorder
	flushes int
}

func (f *flushless) FlushError() error { f.flushes++; return nil }

func (f *flushless) Flush() { f.flushes++ }

// ReverseProxy flushes under a mutex that it also holds while it writes to the
// client. That hangs virtual time only now and then, so this counts flushes.
func TestReverseProxyIsKeptFromFlushing(t *testing.T) {
	for _, kind := range []string{"text/event-stream", "text/plain"} {
		p := &httputil.ReverseProxy{
			Rewrite: func(*httputil.ProxyRequest) {},
			Transport: answerer(func() *http.Response {
				return &http.Response{
					StatusCode: 200, ContentLength: -1, Header: http.Header{"Content-Type": {kind}},
					Body: io.NopCloser(strings.NewReader("body")),
				}
			}),
			ModifyResponse: leaveFlushing,
		}
		w := &flushless{ResponseRecorder: httptest.NewRecorder()}
		p.ServeHTTP(w, &http.Request{Method: "GET", URL: new(url.URL), Header: http.Header{}})
		require.Zero(t, w.flushes, kind)
		require.Equal(t, kind, w.Header().Get("Content-Type"), "in its own spelling")
	}
}
