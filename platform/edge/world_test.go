package edge_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/edge"
)

// A world is an edge with a backend that notes what reaches it.
type world struct {
	edge    http.Handler
	seen    *http.Request // nil: nothing reached the backend
	answer  func(http.ResponseWriter)
	refused []edge.Refusal
}

func newWorld(t testing.TB, cfg edge.Config) *world {
	w := new(world)
	cfg.Refused = func(r edge.Refusal) { w.refused = append(w.refused, r) }
	var err error
	w.edge, err = edge.New(cfg, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.seen = r
		if w.answer != nil {
			w.answer(rw)
		}
	}))
	require.NoError(t, err)
	return w
}

// request is one from 192.0.2.1.
func (*world) request(method, target string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://app.example.com/", nil)
	u, err := r.URL.Parse(target)
	if err != nil {
		panic(err)
	}
	r.Method, r.URL, r.RequestURI, r.RemoteAddr = method, u, target, "192.0.2.1:1234"
	return r
}

// ask sends a request with header fields, given as name and value in turn. The
// field "from" is the address that it comes from.
func (w *world) ask(method, target string, fields ...string) *httptest.ResponseRecorder {
	r := w.request(method, target)
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == "from" {
			r.RemoteAddr = fields[i+1]
			continue
		}
		r.Header.Add(fields[i], fields[i+1])
	}
	return w.send(r)
}

func (w *world) send(r *http.Request) *httptest.ResponseRecorder {
	w.seen = nil
	rec := httptest.NewRecorder()
	w.edge.ServeHTTP(rec, r)
	return rec
}

func nowhere() time.Time { return time.Time{} }

// A nowhereWriter takes an answer and forgets it.
type nowhereWriter struct{ header http.Header }

func (n nowhereWriter) Header() http.Header       { return n.header }
func (nowhereWriter) Write(b []byte) (int, error) { return len(b), nil }
func (nowhereWriter) WriteHeader(int)             {}
