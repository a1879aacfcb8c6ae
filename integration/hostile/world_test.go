// Package hostile sends a running system what clients send who wish it harm,
// and looks after a normal client meanwhile. Rows (HT, GR, GW) are those that
// the tests are named after.
package hostile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/app"
	"example.com/app/platform/edge"
	"example.com/app/platform/network"
	"example.com/app/platform/proxy"
	"example.com/app/platform/registry"
	"example.com/app/platform/resilience"
	"example.com/app/services"
)

// A world is a system, and one who is not part of it.
type world struct {
	t       *testing.T
	virtual bool
	tls     bool              // the gateway's port speaks TLS
	reg     registry.Registry // as seen from outside
	net     network.Network
	where   map[string]string // address by role
	metrics *prometheus.Registry
	shop    *shop
	stop    func() // ends the system, and waits for it
}

// everyWorld runs a test in memory under virtual time, and over TCP.
func everyWorld(t *testing.T, test func(*testing.T, *world)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) { inMemory(t, test) })
	t.Run("tcp", func(t *testing.T) { overTCP(t, test) })
}

// inMemory runs a test under virtual time.
func inMemory(t *testing.T, test func(*testing.T, *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, app.Memory(), app.Config{})
		w.virtual = true
		test(t, w)
		w.stop()
		time.Sleep(time.Hour) // lets sleepers of net/http and gRPC wake, as time stops with the bubble
	})
}

// overTCP runs a test on loopback.
func overTCP(t *testing.T, test func(*testing.T, *world)) {
	t.Helper()
	w := newWorld(t, app.One(registry.NewMemory().Host("here"), new(network.TCP)), app.Config{GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0"})
	test(t, w)
}

// newWorld starts one instance of each role, and a shop behind the gateway, for
// whoever comes.
func newWorld(t *testing.T, fabric app.Fabric, cfg app.Config) *world {
	t.Helper()
	cfg.Security.Insecure = true
	w := newSecureWorld(t, fabric, cfg)
	w.eventually("a greeting and a bag", func() bool {
		return w.get("/v1/greetings/Ada?language=en") == "200" && w.get("/shop/first") == "200"
	})
	w.shop.forget()
	return w
}

// newSecureWorld is the same where it is checked who is who.
func newSecureWorld(t *testing.T, fabric app.Fabric, cfg app.Config) *world {
	t.Helper()
	w := &world{t: t, where: map[string]string{}, metrics: prometheus.NewRegistry()}
	_, w.tls = cfg.Edge.(encrypted)
	w.reg, w.net = fabric.Host("outside")
	cfg.Roles, cfg.Fabric, cfg.Metrics, cfg.Log = services.All, fabric, w.metrics, slog.New(slog.DiscardHandler)
	cfg.Run = map[string]int{"gateway": 1, "greeter": 1, "phrasebook": 1, "interop": 1}
	if slices.ContainsFunc(services.All, func(r app.Role) bool { return r.Name == "issuer" }) && !cfg.Security.Insecure {
		cfg.Run["issuer"] = 1
	}
	cfg.Routes = []proxy.Route{{Prefix: "/shop", Service: "shop", Public: true}}
	cfg.Limits = map[string]resilience.LimitConfig{"": {Off: true}} // a busy machine is overloaded indeed, and calls would be refused
	cfg.Gate.Rate = edge.Rate{Count: -1}                            // everybody comes from one address
	cfg.Grace = time.Second
	node, err := app.New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var life sync.WaitGroup
	w.stop = func() { cancel(); life.Wait() }
	t.Cleanup(w.stop) // also after a failure: a bubble wants everybody out
	life.Go(func() {
		cut := (*app.CutError)(nil)
		if err := node.Run(ctx); err != nil && !errors.As(err, &cut) {
			t.Error(err)
		}
	})
	w.shop = open(ctx, w, fabric, &life)
	select {
	case <-node.Started():
	case <-time.After(30 * time.Second):
		require.FailNow(t, "the system did not start")
	}
	for role := range cfg.Run {
		w.where[role] = w.find(role)
	}
	return w
}

// find is the address of an instance of a role.
func (w *world) find(role string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for set, err := range w.reg.Watch(ctx, role) {
		if err == nil && len(set) > 0 {
			return set[0].Addr
		}
	}
	require.FailNow(w.t, "nobody serves "+role)
	return ""
}

// eventually waits until what is asked for is so.
func (w *world) eventually(what string, so func() bool) {
	w.t.Helper()
	over := time.NewTimer(60 * time.Second)
	defer over.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !so() {
		select {
		case <-over.C:
			require.FailNow(w.t, "not within a minute: "+what)
		case <-again.C:
		}
	}
}

// get asks the gateway for a path as a normal client does, and returns the
// status, or what else came of it.
func (w *world) get(path string) string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	transport := w.transport()
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gateway"+path, http.NoBody)
	require.NoError(w.t, err)
	res, err := transport.RoundTrip(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err.Error()
	}
	return fmt.Sprint(res.StatusCode)
}

// transport connects to the gateway whatever it is asked for.
func (w *world) transport() *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		if w.tls {
			return w.secure(ctx, "http/1.1")
		}
		return w.net.Dial(ctx, w.where["gateway"])
	}}
}

// A stranger is a connection to say anything on.
type stranger struct {
	net.Conn
	t    *testing.T
	in   *bufio.Reader
	rest time.Duration // without a byte, after which nothing more is expected
}

// connect opens a connection to a role.
func (w *world) connect(role string) *stranger {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := w.net.Dial(ctx, w.where[role])
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = c.Close() })
	s := &stranger{Conn: c, t: w.t, in: bufio.NewReader(c), rest: 700 * time.Millisecond}
	if w.virtual {
		s.rest = 20 * time.Second
	}
	return s
}

// say writes a text in which each line end stands for CRLF. What a server that
// has closed the door does not read is no error.
func (s *stranger) say(text string) { _, _ = io.WriteString(s, crlf(text)) }

// crlf is a text with the line ends of HTTP. "\v" is a bare line feed.
func crlf(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\n", "\r\n"), "\v", "\n")
}

// An answer is one as it came over a connection.
type answer struct {
	*http.Response
	text string
}

// answers reads all answers that come until the other side closes, or says
// nothing for a while.
func (s *stranger) answers(method string) (all []answer, closed bool) {
	s.t.Helper()
	for {
		require.NoError(s.t, s.SetReadDeadline(time.Now().Add(s.patience(len(all)))))
		res, err := http.ReadResponse(s.in, &http.Request{Method: method})
		if err != nil {
			timeout := net.Error(nil)
			return all, !errors.As(err, &timeout) || !timeout.Timeout()
		}
		body, err := io.ReadAll(res.Body)
		require.NoError(s.t, err)
		all = append(all, answer{res, string(body)})
		if res.StatusCode >= 200 {
			method = http.MethodGet
		}
	}
}

// patience is how long to wait for the next answer: the first one comes.
func (s *stranger) patience(heard int) time.Duration {
	if heard == 0 {
		return 20 * time.Second
	}
	return s.rest
}

// send says a text on a connection of its own, and returns what came back.
func (w *world) send(text string) (all []answer, closed bool) {
	w.t.Helper()
	s := w.connect("gateway")
	defer s.Close()
	s.say(text)
	method, _, _ := strings.Cut(text, " ")
	return s.answers(method)
}

// one is the first answer to a text.
func (w *world) one(text string) answer {
	w.t.Helper()
	s := w.connect("gateway")
	defer s.Close()
	s.say(text)
	require.NoError(w.t, s.SetReadDeadline(time.Now().Add(20*time.Second)))
	method, _, _ := strings.Cut(text, " ")
	res, err := http.ReadResponse(s.in, &http.Request{Method: method})
	require.NoError(w.t, err, "no answer to %.200q", text)
	body, err := io.ReadAll(res.Body)
	require.NoError(w.t, err)
	return answer{res, string(body)}
}
