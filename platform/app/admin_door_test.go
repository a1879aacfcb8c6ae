package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/network"
	"example.com/app/platform/telemetry"
)

const adminToken = telemetry.Secret("correct-horse-battery-staple")

// tcpLike is a memory network whose listeners say that they are TCP.
type tcpLike struct {
	network.Network
	ip string
}

func (n tcpLike) Listen(ctx context.Context, addr string) (net.Listener, error) {
	ln, err := n.Network.Listen(ctx, addr)
	return tcpListener{ln, n.ip}, err
}

type tcpListener struct {
	net.Listener
	ip string
}

func (l tcpListener) Addr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(l.ip), Port: 9090} }

func TestEX1AdminThatIsNotLoopbackNeedsAToken(t *testing.T) {
	for addr, ip := range map[string]string{
		":9090": "::", "0.0.0.0:9090": "0.0.0.0", "[::]:9090": "::", "10.0.0.7:9090": "10.0.0.7",
		"edge:9090":         "127.0.1.1",   // a name that means loopback today
		"localhost:9090":    "192.168.0.2", // a resolver that lies
		"localhost.it:9090": "127.0.0.1",
	} {
		cfg := Config{AdminToken: "", Admin: addr}
		_, err := doorOf(&net.TCPAddr{IP: net.ParseIP(ip)}, cfg)
		require.ErrorIs(t, err, ErrAdminOpen, addr)
		require.True(t, errs.Invalid.Is(err))
		require.ErrorContains(t, err, addr)
		cfg.AdminToken = adminToken
		d, err := doorOf(&net.TCPAddr{IP: net.ParseIP(ip)}, cfg)
		require.NoError(t, err, addr)
		require.False(t, d.loopback, addr)
	}
	for _, addr := range []string{"127.0.0.1:0", "localhost:0", "LOCALHOST.:0", "[::1]:0", "127.8.9.10:0", "[::ffff:127.0.0.1]:0"} {
		d, err := doorOf(&net.TCPAddr{IP: net.ParseIP("127.0.0.1")}, Config{Admin: addr})
		require.NoError(t, err, addr)
		require.True(t, d.loopback, addr)
	}
}

func TestEX1NodeWithAnOpenAdminPortDoesNotStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ground := network.NewMemory()
		node, err := New(Config{
			Roles: []Role{serves("a", new(echo))}, Run: map[string]int{"a": 1},
			Admin: ":9090", Edge: tcpLike{ground.Host("edge"), "::"},
		})
		require.NoError(t, err)
		err = node.Run(t.Context())
		require.EqualError(t, err, `start admin: address ":9090": an admin address that is not loopback needs a token`)
		ln, err := ground.Host("edge").Listen(t.Context(), ":9090")
		require.NoError(t, err, "the port was given back")
		require.NoError(t, ln.Close())
	})
}

func TestEX1AdminAsksForTheTokenOnEveryPathButTheProbes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, v := operate(t, Config{AdminToken: adminToken})
		<-s.Started()
		ask := func(path string, authorization ...string) (int, string, http.Header) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://edge:9090"+path, http.NoBody)
			require.NoError(t, err)
			req.Header["Authorization"] = authorization
			return v.send(req)
		}
		for line := range strings.Lines(adminIndex) {
			path, _, _ := strings.Cut(line, " ")
			code, text, header := ask(path)
			if path == "/livez" || path == "/readyz" {
				require.Equal(t, http.StatusOK, code, path)
				require.Equal(t, "ok\n", text, path)
			} else {
				require.Equal(t, http.StatusUnauthorized, code, path)
				require.Equal(t, `Bearer realm="admin"`, header.Get("WWW-Authenticate"))
				require.NotContains(t, text, "a-1")
			}
			code, _, _ = ask(path, "Bearer "+string(adminToken))
			require.Equal(t, http.StatusOK, code, path)
		}
		_, text, _ := ask("/readyz", "bearer "+string(adminToken))
		require.Equal(t, "www-1: serving\na-1: serving\n", text)
		for name, headers := range map[string][]string{
			"wrong":       {"Bearer correct-horse-battery-stapl"},
			"longer":      {"Bearer correct-horse-battery-staple2"},
			"empty":       {"Bearer "},
			"bare":        {string(adminToken)},
			"basic":       {"Basic " + string(adminToken)},
			"twice":       {"Bearer " + string(adminToken), "Bearer " + string(adminToken)},
			"in the path": nil,
		} {
			code, _, _ := ask("/metrics?token="+string(adminToken), headers...)
			require.Equal(t, http.StatusUnauthorized, code, name)
		}
	})
}

func TestEX1ProbeWithoutATokenLearnsOneWord(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sick := &echo{check: func() error { return fmt.Errorf("no route to db.internal:5432") }}
		_, v := operate(t, Config{AdminToken: adminToken, Roles: []Role{serves("a", sick)}})
		synctest.Wait()
		code, text, header := v.get("http://edge:9090/readyz")
		require.Equal(t, http.StatusServiceUnavailable, code)
		require.Equal(t, "not ok\n", text)
		require.Equal(t, "nosniff", header.Get("X-Content-Type-Options"))
	})
}

func TestEX1PagesOfABrowserCannotReachLoopback(t *testing.T) {
	d := &door{loopback: true, next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok\n") })}
	for name, c := range map[string]struct {
		method, host string
		header       http.Header
		want         int
	}{
		"by address":            {"GET", "127.0.0.1:9090", nil, 200},
		"by IPv6":               {"GET", "[::1]:9090", nil, 200},
		"by IPv6, no port":      {"GET", "[::1]", nil, 200},
		"by name":               {"GET", "localhost:9090", nil, 200},
		"by name, no port":      {"GET", "localhost", nil, 200},
		"a name of localhost":   {"GET", "admin.localhost:9090", nil, 200},
		"DNS rebinding":         {"GET", "evil.example:9090", nil, 403},
		"a name like localhost": {"GET", "localhost.evil.example", nil, 403},
		"no host":               {"GET", "", nil, 403},
		"another address":       {"GET", "192.168.0.1:9090", nil, 403},
		"a form elsewhere":      {"POST", "localhost:9090", http.Header{"Origin": {"http://evil.example"}}, 403},
		"a script elsewhere":    {"POST", "localhost:9090", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		"an image elsewhere":    {"GET", "localhost:9090", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"no-cors"}}, 403},
		"a link that is clicked": {
			"GET", "localhost:9090", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}}, 200,
		},
		"typed":            {"GET", "localhost:9090", http.Header{"Sec-Fetch-Site": {"none"}, "Sec-Fetch-Mode": {"navigate"}}, 200},
		"pprof's own tool": {"POST", "localhost:9090", nil, 200},
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(c.method, "http://localhost/debug/pprof/symbol", http.NoBody)
		r.Host = c.host
		if c.header != nil {
			r.Header = c.header
		}
		d.ServeHTTP(w, r)
		require.Equal(t, c.want, w.Code, name)
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	}
}

func TestEX2AdminTokenIsInNoPageOfTheAdminPort(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, v := operate(t, Config{AdminToken: adminToken})
		<-s.Started()
		for line := range strings.Lines(adminIndex) {
			path, _, _ := strings.Cut(line, " ")
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://edge:9090"+path, http.NoBody)
			require.NoError(t, err)
			req.Header.Set("Authorization", "Bearer "+string(adminToken))
			code, text, header := v.send(req)
			require.Equal(t, http.StatusOK, code, path)
			require.NotContains(t, text+fmt.Sprint(header), string(adminToken), path)
		}
		require.NotContains(t, fmt.Sprintf("%v %+v %#v %x", s.cfg.AdminToken, s.cfg.AdminToken, s.cfg.AdminToken, s.cfg.AdminToken), "horse")
	})
}

func TestEX2ArgumentsOfTheProcessAreNotServed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, v := operate(t, Config{})
		<-s.Started()
		code, _, _ := v.get("http://edge:9090/debug/pprof/cmdline")
		require.Equal(t, http.StatusNotFound, code)
	})
}
