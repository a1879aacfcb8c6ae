package session_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/session"
)

// A browser keeps cookies, as their attributes say, and follows nothing.
type browser struct {
	t       testing.TB
	gateway http.Handler
	mu      sync.Mutex
	cookies map[string]*http.Cookie
	header  http.Header
}

// A backend notes what reaches it.
type backend struct {
	mu   sync.Mutex
	seen []http.Header
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen = append(b.seen, r.Header.Clone())
	w.WriteHeader(http.StatusOK)
}

// last is the header of the last request, which is forgotten.
func (b *backend) last() http.Header {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.seen) == 0 {
		return nil
	}
	h := b.seen[len(b.seen)-1]
	b.seen = nil
	return h
}

type world struct {
	*browser
	issuer  *fakeIssuer
	backend *backend
	log     *bytes.Buffer
}

func key(fill string) []byte { return []byte(strings.Repeat(fill, 32)) }

func config(f *fakeIssuer) session.Config {
	return session.Config{
		Issuer: issuerURL, ClientID: "gateway", ClientSecret: "s3cret", RedirectURL: "https://app.example.com/auth/callback",
		Scopes: []string{"greet"}, Client: &http.Client{Transport: f}, Key: key("k"),
	}
}

func gateway(t testing.TB, cfg session.Config, next http.Handler) http.Handler {
	s, err := session.New(cfg)
	require.NoError(t, err)
	return s.Handler(next)
}

func newWorld(t testing.TB) *world {
	w := &world{issuer: newIssuer(t), backend: new(backend), log: new(bytes.Buffer)}
	cfg := config(w.issuer)
	cfg.Log = slog.New(slog.NewTextHandler(w.log, nil))
	w.browser = &browser{t: t, gateway: gateway(t, cfg, w.backend), cookies: map[string]*http.Cookie{}, header: http.Header{}}
	return w
}

// ask sends a request with the browser's cookies, and keeps those of the answer.
func (b *browser) ask(method, target string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "https://app.example.com"+target, nil)
	for name, values := range b.header {
		r.Header[name] = values
	}
	b.mu.Lock()
	for _, c := range b.cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	b.mu.Unlock()
	w := httptest.NewRecorder()
	b.gateway.ServeHTTP(w, r)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range w.Result().Cookies() {
		require.True(b.t, c.Secure && c.HttpOnly && c.SameSite == http.SameSiteLaxMode && c.Path == "/" && c.Domain == "", c.String())
		require.True(b.t, strings.HasPrefix(c.Name, "__Host-"), c.Name)
		require.LessOrEqual(b.t, len(c.String()), 4096)
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c
		}
	}
	return w
}

// logIn goes through a whole login.
func (w *world) logIn() {
	back := w.visitIssuer("/auth/login?return_to=/docs")
	answer := w.ask(http.MethodGet, "/auth/callback?"+back.Encode())
	require.Equal(w.t, http.StatusSeeOther, answer.Code, answer.Body)
	require.Equal(w.t, "/docs", answer.Header().Get("Location"))
}

// visitIssuer begins a login, and returns what the issuer answers with.
func (w *world) visitIssuer(login string) url.Values {
	answer := w.ask(http.MethodGet, login)
	require.Equal(w.t, http.StatusSeeOther, answer.Code, answer.Body)
	return w.issuer.authorize(answer.Header().Get("Location"))
}

// token is what a backend gets to see for the browser; empty: nothing.
func (w *world) token() string {
	answer := w.ask(http.MethodGet, "/v1/greetings")
	require.Equal(w.t, http.StatusOK, answer.Code, answer.Body)
	return w.backend.last().Get("Authorization")
}

func sleep(d time.Duration) { time.Sleep(d) } // of virtual time: all who call it are in a bubble

// leave sends a request, and goes away after a while.
func (b *browser) leave(target string, after time.Duration) {
	ctx, cancel := context.WithTimeout(b.t.Context(), after)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "https://app.example.com"+target, nil)
	for _, c := range b.cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	b.gateway.ServeHTTP(httptest.NewRecorder(), r)
}
