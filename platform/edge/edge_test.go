package edge_test

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/auth"
	"example.com/app/platform/edge"
	"example.com/app/platform/errs"
)

func TestHT9AnswersHaveTheHeadersThatBrowsersNeed(t *testing.T) {
	w := newWorld(t, edge.Config{})
	w.answer = func(rw http.ResponseWriter) {
		for _, name := range []string{"Server", "X-Powered-By", "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Strict-Transport-Security"} {
			rw.Header().Set(name, "nginx/1.2.3")
		}
		rw.Header().Set("Referrer-Policy", "no-referrer")
		rw.WriteHeader(http.StatusEarlyHints)
		_, _ = rw.Write([]byte("hello"))
	}
	h := w.ask(http.MethodGet, "/", "Origin", "https://evil.example").Header()
	require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"))
	require.Equal(t, edge.DefaultPolicy, h.Get("Content-Security-Policy"))
	require.Equal(t, []string{"no-referrer"}, h["Referrer-Policy"], "the backend's own")
	require.Equal(t, "same-origin", h.Get("Cross-Origin-Opener-Policy"))
	require.Equal(t, "same-origin", h.Get("Cross-Origin-Resource-Policy"))
	require.NotEmpty(t, h.Get("Permissions-Policy"))
	for name := range h {
		require.NotContains(t, h.Get(name), "nginx", name)
		require.NotContains(t, name, "Access-Control")
	}
	require.Empty(t, h.Get("Strict-Transport-Security"), "it came without TLS")
	w.answer = nil
	require.Equal(t, "nosniff", w.ask(http.MethodGet, "/").Header().Get("X-Content-Type-Options"), "nothing said is an answer")
	require.Equal(t, "same-origin", w.ask(http.MethodTrace, "/").Header().Get("Referrer-Policy"), "refusals have them too")
}

func TestHT9HSTSIsForTLSAlone(t *testing.T) {
	proxies, err := edge.ParseProxies([]string{"10.0.0.0/8"})
	require.NoError(t, err)
	w := newWorld(t, edge.Config{Proxies: proxies})
	hsts := func(fields ...string) string {
		return w.ask(http.MethodGet, "/", fields...).Header().Get("Strict-Transport-Security")
	}
	w.answer = func(rw http.ResponseWriter) { rw.WriteHeader(http.StatusOK) }
	require.Empty(t, hsts())
	require.Empty(t, hsts("X-Forwarded-Proto", "https"), "anybody could say so")
	require.NotEmpty(t, hsts("X-Forwarded-Proto", "https", "from", "10.1.2.3:99"))
	r := w.request(http.MethodGet, "/")
	r.TLS = new(tls.ConnectionState)
	require.Contains(t, w.send(r).Header().Get("Strict-Transport-Security"), "max-age=31536000")
}

func TestHT9RequestIDsAreCheckedBeforeTheyAreSentBack(t *testing.T) {
	w := newWorld(t, edge.Config{NewID: func() string { return "made-here" }})
	for id, kept := range map[string]bool{
		"abc-DEF_1.2:3": true, strings.Repeat("x", 128): true,
		"": false, strings.Repeat("x", 129): false, "a b": false, "<script>": false, "é": false, "a\"b": false,
	} {
		want := "made-here"
		if kept {
			want = id
		}
		answer := w.ask(http.MethodGet, "/", "X-Request-Id", id)
		require.Equal(t, want, answer.Header().Get("X-Request-Id"))
		require.Equal(t, []string{want}, w.seen.Header["X-Request-Id"])
		require.NotContains(t, w.ask(http.MethodTrace, "/", "X-Request-Id", id).Body.String(), "<script>")
	}
	w.ask(http.MethodGet, "/", "X-Request-Id", "a", "X-Request-Id", "b")
	require.Equal(t, []string{"made-here"}, w.seen.Header["X-Request-Id"])
}

func TestHT7MethodsThatTunnelOrShowCookiesAreRefused(t *testing.T) {
	w := newWorld(t, edge.Config{})
	for _, method := range []string{http.MethodTrace, http.MethodConnect, "TRACK", "PROPFIND", "get", "X\tY"} {
		answer := w.ask(method, "/")
		require.Equal(t, http.StatusMethodNotAllowed, answer.Code, method)
		require.Equal(t, "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT", answer.Header().Get("Allow"))
		require.Nil(t, w.seen)
	}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		require.Equal(t, http.StatusOK, w.ask(method, "/").Code, method)
	}
}

func TestGW5AHostIsNoLongerThanANameCanBe(t *testing.T) {
	w := newWorld(t, edge.Config{})
	for host, want := range map[string]int{
		strings.Repeat("a.", 126) + "a:65535": http.StatusOK,
		strings.Repeat("a.", 130):             http.StatusBadRequest,
	} {
		r := w.request(http.MethodGet, "/")
		r.Host = host
		require.Equal(t, want, w.send(r).Code, len(host))
	}
}

func TestGW5PathsInAnyOtherFormAreRefused(t *testing.T) {
	w := newWorld(t, edge.Config{})
	for _, path := range []string{
		"/a%2fb", "/a%2Fb", "/a%5cb", `/a\b`, "/a%00b", "/a//b", "//evil.example/x", "/a/../b", "/a/./b", "/..", "/a/%2e%2e/b", "/a/.%2E/b",
		"/a/..;x/b", "/a%252fb", "/%252e%252e/", "/a%0d%0ab", "/a%7fb", "/%ff", "/%c0%ae%c0%ae/", "/a?" + strings.Repeat("&", 10050),
	} {
		r := w.request(http.MethodGet, "/")
		u, err := url.ParseRequestURI(path)
		if err != nil {
			continue // net/http would refuse it before us
		}
		r.URL, r.RequestURI = u, path
		answer := w.send(r)
		require.Contains(t, []int{400, 414}, answer.Code, path)
		require.Nil(t, w.seen, path)
		require.Contains(t, answer.Body.String(), `"status":"INVALID_ARGUMENT"`)
	}
	for _, path := range []string{"/", "/a", "/a/", "/v1/greetings/Ada%20L", "/a.b/..c/d..", "/a:b", "/%C3%A9", "/a;v=1", "/100%25x"} {
		require.Equal(t, http.StatusOK, w.ask(http.MethodGet, path).Code, path)
	}
}

func TestHT2LongURLsAndManyHeadersAreRefused(t *testing.T) {
	w := newWorld(t, edge.Config{})
	require.Equal(t, http.StatusRequestURITooLong, w.ask(http.MethodGet, "/"+strings.Repeat("x", 8<<10)).Code)
	require.Equal(t, http.StatusRequestURITooLong, w.ask(http.MethodGet, "/?q="+strings.Repeat("x", 8<<10)).Code)
	require.Equal(t, http.StatusOK, w.ask(http.MethodGet, "/"+strings.Repeat("x", 8<<10-1)).Code)
	var many []string
	for range 101 {
		many = append(many, "Accept", "x")
	}
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, w.ask(http.MethodGet, "/", many...).Code)
	require.Equal(t, http.StatusOK, w.ask(http.MethodGet, "/", many[4:]...).Code)
}

func TestGW3GW4HeadersThatOnlyAProxyMaySendAreDropped(t *testing.T) {
	w := newWorld(t, edge.Config{})
	for _, name := range []string{
		"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Client-Cert", "X-Forwarded-Anything", "X-Real-IP",
		"True-Client-IP", "X_Forwarded_For", "Client-Cert", "X-SSL-Client-Verify", "SSL-Client-Cert", "X-HTTP-Method-Override", "X-Method-Override",
		"X-Original-URL", "X-Rewrite-URL", "Proxy", "user_id",
	} {
		w.ask(http.MethodGet, "/", name, "forged", "X-Mine", "kept")
		require.Equal(t, "kept", w.seen.Header.Get("X-Mine"))
		for sent := range w.seen.Header {
			require.NotEqual(t, "forged", w.seen.Header.Get(sent), sent)
		}
	}
}

func TestAU12TheAddressIsTheConnectionsUnlessAProxyIsBelieved(t *testing.T) {
	proxies, err := edge.ParseProxies([]string{"10.0.0.0/8", "fd00::/8", "203.0.113.7"})
	require.NoError(t, err)
	w := newWorld(t, edge.Config{Proxies: proxies})
	for name, test := range map[string]struct {
		from      string
		forwarded []string
		want      string
	}{
		"alone":                     {"192.0.2.1:5", nil, "192.0.2.1:5"},
		"a client that lies":        {"192.0.2.1:5", []string{"198.51.100.1"}, "192.0.2.1:5"},
		"behind a proxy":            {"10.0.0.1:5", []string{"198.51.100.1"}, "198.51.100.1:5"},
		"a liar behind a proxy":     {"10.0.0.1:5", []string{"127.0.0.1, 198.51.100.1"}, "198.51.100.1:5"},
		"two proxies":               {"10.0.0.1:5", []string{"1.1.1.1, 198.51.100.1, 203.0.113.7"}, "198.51.100.1:5"},
		"several fields":            {"10.0.0.1:5", []string{"1.1.1.1", "198.51.100.1, 10.9.9.9"}, "198.51.100.1:5"},
		"proxies alone":             {"10.0.0.1:5", []string{"10.0.0.3,10.0.0.2"}, "10.0.0.3:5"},
		"nothing said":              {"10.0.0.1:5", nil, "10.0.0.1:5"},
		"garbage":                   {"10.0.0.1:5", []string{"198.51.100.1, unknown"}, "10.0.0.1:5"},
		"IPv6":                      {"[fd00::1]:5", []string{"2001:db8::1"}, "[2001:db8::1]:5"},
		"IPv4 in IPv6":              {"[::ffff:10.0.0.1]:5", []string{"::ffff:198.51.100.1"}, "198.51.100.1:5"},
		"a host in memory":          {"outside:5", []string{"198.51.100.1"}, "outside:5"},
		"a host in memory, no port": {"outside", nil, "outside:0"},
		"longer than any chain":     {"10.0.0.1:5", []string{"1.1.1.1" + strings.Repeat(",10.0.0.9", 500)}, "10.0.0.9:5"},
	} {
		t.Run(name, func(t *testing.T) {
			fields := []string{"from", test.from}
			for _, f := range test.forwarded {
				fields = append(fields, "X-Forwarded-For", f)
			}
			w.ask(http.MethodGet, "/", fields...)
			require.Equal(t, test.want, w.seen.RemoteAddr)
		})
	}
	for _, bad := range []string{"", "10.0.0.0/99", "proxy", "0.0.0.0/0", "::/0", "fe80::1%eth0"} {
		_, err := edge.ParseProxies([]string{bad})
		require.ErrorContains(t, err, "trusted proxy")
	}
}

func TestRefusalsAreTold(t *testing.T) {
	w := newWorld(t, edge.Config{})
	w.ask(http.MethodGet, "/a//b")
	require.Len(t, w.refused, 1)
	require.Equal(t, "192.0.2.1", w.refused[0].Address)
	require.Equal(t, errs.Invalid, errs.Of(w.refused[0].Err))
	require.Equal(t, "PATH_AMBIGUOUS", auth.Reason(w.refused[0].Err))
	require.Equal(t, http.MethodGet, w.refused[0].Request.Method)
	w.ask(http.MethodGet, "/a")
	require.Len(t, w.refused, 1)
}

func TestHT9NoOtherOriginReadsAnswersUnlessItIsNamed(t *testing.T) {
	w := newWorld(t, edge.Config{})
	answer := w.ask(http.MethodOptions, "/v1", "Origin", "https://app.example.com", "Access-Control-Request-Method", "POST")
	require.NotNil(t, w.seen, "an edge without origins leaves OPTIONS to who answers")
	require.Empty(t, answer.Header().Get("Access-Control-Allow-Origin"))

	w = newWorld(t, edge.Config{Origins: []string{"https://app.example.com", "http://localhost:3000"}})
	w.answer = func(rw http.ResponseWriter) {
		rw.Header().Set("Access-Control-Allow-Origin", "*")
		rw.WriteHeader(http.StatusOK)
	}
	answer = w.ask(http.MethodOptions, "/v1", "Origin", "https://app.example.com", "Access-Control-Request-Method", "POST")
	require.Nil(t, w.seen, "a preflight is answered here")
	require.Equal(t, http.StatusNoContent, answer.Code)
	require.Equal(t, "https://app.example.com", answer.Header().Get("Access-Control-Allow-Origin"))
	require.Contains(t, answer.Header().Get("Access-Control-Allow-Headers"), "Authorization")
	require.Contains(t, answer.Header().Get("Access-Control-Allow-Methods"), "POST")
	require.Contains(t, answer.Header().Values("Vary"), "Origin")

	for _, origin := range []string{"https://app.example.com", "http://localhost:3000"} {
		answer = w.ask(http.MethodGet, "/v1", "Origin", origin)
		require.Equal(t, []string{origin}, answer.Header()["Access-Control-Allow-Origin"])
		require.Empty(t, answer.Header().Get("Access-Control-Allow-Credentials"))
		require.Contains(t, answer.Header().Get("Access-Control-Expose-Headers"), "Retry-After")
	}
	for _, origin := range []string{"https://evil.example", "null", "https://app.example.com.evil.example", "http://app.example.com", "https://app.example.com:444", "https://APP.example.com"} {
		answer = w.ask(http.MethodGet, "/v1", "Origin", origin)
		require.Empty(t, answer.Header().Get("Access-Control-Allow-Origin"), origin)
		require.Contains(t, answer.Header().Values("Vary"), "Origin")
	}
	for _, bad := range []string{"*", "https://*.example.com", "app.example.com", "https://app.example.com/", "https://App.example.com", "https://app.example.com:443", "null", "ftp://x", ""} {
		_, err := edge.New(edge.Config{Origins: []string{bad}}, nil)
		require.ErrorContains(t, err, "origin", bad)
	}
}

func TestStreamsAndWebsocketsPassTheEdge(t *testing.T) {
	w := newWorld(t, edge.Config{})
	w.answer = func(rw http.ResponseWriter) {
		_, _ = rw.Write([]byte("part"))
		if err := http.NewResponseController(rw).Flush(); err != nil {
			t.Error(err)
		}
		_, ok := rw.(http.Flusher)
		require.True(t, ok)
		require.ErrorIs(t, http.NewResponseController(rw).SetReadDeadline(nowhere()), http.ErrNotSupported, "it was asked of who can tell")
	}
	require.True(t, w.ask(http.MethodGet, "/").Flushed)
}
