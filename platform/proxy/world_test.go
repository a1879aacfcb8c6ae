package proxy_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/network"
	"example.com/app/platform/proxy"
	"example.com/app/platform/registry"
)

// A world is a network, a registry, backends, a proxy at its edge, and a client
// outside.
type world struct {
	t        *testing.T
	host     func(name string) network.Network
	listen   string // where servers listen
	registry *registry.Memory
	edge     string // address of the proxy
	client   *http.Client
	proxy    *proxy.Proxy
	stop     func() error // ends Run of the proxy
}

// everyWorld runs a test in memory and virtual time, and over TCP.
func everyWorld(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("memory", func(t *testing.T) { inMemory(t, test) })
	t.Run("TCP", func(t *testing.T) {
		test(t, newWorld(t, new(network.TCP).Host, "127.0.0.1:0"))
	})
}

func inMemory(t *testing.T, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Hour) }) // runs last: lets sleepers of the test and of net/http wake, as time stops with it
		test(t, newWorld(t, network.NewMemory().Host, ":0"))
	})
}

func newWorld(t testing.TB, host func(string) network.Network, listen string) *world {
	w := &world{host: host, listen: listen, registry: registry.NewMemory()}
	w.t, _ = t.(*testing.T)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return w.host("client").Dial(ctx, w.edge)
		},
		DisableCompression: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	w.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	return w
}

// start puts a proxy with the given routes at the edge.
func (w *world) start(t testing.TB, c proxy.Config, routes ...string) {
	parsed, err := proxy.ParseRoutes(routes)
	require.NoError(t, err)
	if c.Registry == nil {
		c.Registry = w.registry.Host("edge")
	}
	c.Network = w.host("edge")
	w.proxy, err = proxy.New(c, parsed)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.proxy.Run(ctx) }()
	w.stop = func() error { cancel(); return <-ended }
	w.edge = serve(t, w.host("edge"), w.listen, w.proxy)
	t.Cleanup(cancel)
}

// backend starts an instance and lists it. What it returns takes it off the
// list and then closes it.
func (w *world) backend(t testing.TB, service, host string, h http.HandlerFunc) (stop func()) {
	l, err := w.host(host).Listen(context.Background(), w.listen)
	require.NoError(t, err)
	s := &http.Server{Handler: h}
	go func() { _ = s.Serve(l) }()
	leave := w.list(t, service, host, l.Addr().String())
	stop = func() { leave(); _ = s.Close() }
	t.Cleanup(stop)
	return stop
}

// raw starts an instance that handles connections itself.
func (w *world) raw(t testing.TB, service, host string, handle func(net.Conn)) {
	l, err := w.host(host).Listen(context.Background(), w.listen)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); handle(c) }()
		}
	}()
	w.list(t, service, host, l.Addr().String())
}

// list enters an instance in the registry and returns when it is there.
func (w *world) list(t testing.TB, service, host, addr string) (leave func()) {
	ctx, cancel := context.WithCancel(context.Background())
	listed, left := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(left)
		_ = w.registry.Host(host).Register(ctx, registry.Registration{
			Instance: registry.Instance{ID: service + "-" + host, Role: service, Addr: addr},
			Report:   func(err error) { listed <- err },
		})
	}()
	require.NoError(t, <-listed)
	leave = func() { cancel(); <-left }
	t.Cleanup(leave)
	return leave
}

func serve(t testing.TB, n network.Network, addr string, h http.Handler) string {
	l, err := n.Listen(context.Background(), addr)
	require.NoError(t, err)
	s := &http.Server{Handler: h, ErrorLog: nil}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

// do sends a request and reads the whole answer.
func (w *world) do(method, path, body string, headers ...string) (*http.Response, string) {
	w.t.Helper()
	req, err := http.NewRequest(method, "http://shop.example"+path, strings.NewReader(body))
	require.NoError(w.t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header[headers[i]] = append(req.Header[headers[i]], headers[i+1])
	}
	res, err := w.client.Do(req)
	require.NoError(w.t, err)
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	require.NoError(w.t, err)
	return res, string(got)
}

func (w *world) get(path string) (int, string) {
	w.t.Helper()
	res, body := w.do("GET", path, "")
	return res.StatusCode, body
}

// send writes text as it is and reads the first answer.
func (w *world) send(text string) (*http.Response, *bufio.Reader, net.Conn) {
	w.t.Helper()
	c, err := w.host("client").Dial(context.Background(), w.edge)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = c.Close() })
	_, err = io.WriteString(c, strings.ReplaceAll(text, "\n", "\r\n"))
	require.NoError(w.t, err)
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	require.NoError(w.t, err)
	return res, r, c
}

// eventually waits for what another goroutine brings about.
func (w *world) eventually(condition func() bool, msg string) {
	w.t.Helper()
	require.Eventually(w.t, condition, 10*time.Second, 5*time.Millisecond, msg)
}

// says answers with a text.
func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}
