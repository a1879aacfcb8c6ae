package hostile

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/app"
	"example.com/app/platform/registry"
)

// A shop is an HTTP service behind the gateway that keeps a journal of what
// reached it.
type shop struct {
	close func() // refuses connections from then on, and is listed still

	mu     sync.Mutex
	seen   []string // "METHOD target"
	heads  []http.Header
	answer map[string]http.HandlerFunc // by path; else 200
}

// open starts a shop, which closes with ctx.
func open(ctx context.Context, w *world, fabric app.Fabric, life *sync.WaitGroup) *shop {
	w.t.Helper()
	s := &shop{answer: map[string]http.HandlerFunc{}}
	reg, net := fabric.Host("shop-1")
	addr := ":80"
	if _, memory := fabric.(*app.MemoryFabric); !memory {
		addr = "127.0.0.1:0"
	}
	ln, err := net.Listen(ctx, addr)
	require.NoError(w.t, err)
	server := http.Server{ReadHeaderTimeout: time.Minute, Handler: s}
	s.close = func() { _ = server.Close() }
	life.Go(func() { _ = server.Serve(ln) })
	life.Go(func() {
		in := registry.Instance{ID: "shop-1", Role: "shop", Addr: ln.Addr().String()}
		_ = reg.Register(ctx, registry.Registration{Instance: in})
		_ = server.Close()
	})
	return s
}

// ServeHTTP notes a request and answers it.
func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.seen = append(s.seen, r.Method+" "+r.RequestURI)
	s.heads = append(s.heads, r.Header.Clone())
	answer := s.answer[r.URL.Path]
	s.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	n, _ := io.Copy(io.Discard, r.Body)
	_, _ = fmt.Fprintf(w, "shop %s %s %d", r.Method, r.RequestURI, n)
}

// on sets the answer to a path.
func (s *shop) on(path string, answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer[path] = answer
}

// journal is what reached the shop since the last time that it forgot.
func (s *shop) journal() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// head is the header of the last request that reached it.
func (s *shop) head() http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.heads) == 0 {
		return http.Header{}
	}
	return s.heads[len(s.heads)-1]
}

func (s *shop) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen, s.heads = nil, nil
}
