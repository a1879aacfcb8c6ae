package hostile

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHT7OnlyMethodsOfARouteAreAnswered(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		a := w.one("DELETE /v1/greetings/Ada HTTP/1.1\nHost: x\n\n")
		require.Equal(t, 405, a.StatusCode)
		require.Equal(t, "GET, HEAD", a.Header.Get("Allow"))
		requireError(t, a, "DELETE")
		for _, request := range []string{
			"TRACE /v1/greetings/Ada HTTP/1.1\nHost: x\nCookie: SECRET\n\n", "TRACE /shop/a HTTP/1.1\nHost: x\nCookie: SECRET\n\n",
			"CONNECT example.org:443 HTTP/1.1\nHost: example.org:443\n\n", "CONNECT /shop/a HTTP/1.1\nHost: x\n\n",
			"PRI * HTTP/2.0\n\nSM\n\n", "get /v1/greetings/Ada HTTP/1.1\nHost: x\n\n", "GREET /v1/greetings/Ada HTTP/1.1\nHost: x\n\n",
			"OPTIONS * HTTP/1.1\nHost: x\n\n",
		} {
			a := w.one(request)
			if strings.HasPrefix(request, "OPTIONS") {
				require.Empty(t, a.text)
				continue
			}
			require.GreaterOrEqual(t, a.StatusCode, 400, request)
			require.Less(t, a.StatusCode, 600, request)
			require.NotContains(t, a.text, "SECRET", request)
		}
		require.Empty(t, w.shop.journal())
		for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
			a := w.one("POST /v1/greetings/Ada HTTP/1.1\nHost: x\nContent-Length: 0\n" + name + ": GET\n\n")
			require.Equal(t, 405, a.StatusCode, name)
		}
		for _, name := range []string{"X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-Forwarded-Uri"} {
			a := w.one("GET /nothing HTTP/1.1\nHost: x\n" + name + ": /v1/greetings/Ada\n\n")
			require.Equal(t, 404, a.StatusCode, name)
		}
	})
}

// TestHT7TheGatewayIsNoOpenProxy names other hosts in every place that has one.
func TestHT7TheGatewayIsNoOpenProxy(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		for _, target := range []string{
			"http://example.org/", "http://greeter/v1/x", "//example.org/", "http:example.org", "/http://example.org/", "http://127.0.0.1:8500/v1/kv/",
			"http://user:pass@example.org/", "file:///etc/passwd", "example.org:80", "@example.org", "/@example.org/", "http://[::1]:8500/",
		} {
			all, _ := w.send("GET " + target + " HTTP/1.1\nHost: x\nConnection: close\n\n")
			require.Len(t, all, 1, target)
			require.NotEqual(t, 200, all[0].StatusCode, target)
			require.Less(t, all[0].StatusCode, 500, target)
			requireStays(t, all[0], target)
		}
		for _, host := range []string{"example.org", "127.0.0.1:8500", "consul", "x y", "x/../y", "x\x00y", "", "[::1"} {
			all, _ := w.send("GET /shop/a HTTP/1.1\nHost: " + host + "\nConnection: close\n\n")
			require.Len(t, all, 1, "%q", host)
			require.Contains(t, []int{200, 400}, all[0].StatusCode, "%q", host)
		}
		require.Equal(t, 400, w.one("GET /shop/a HTTP/1.1\nHost: a\nHost: b\n\n").StatusCode)
		require.Equal(t, 400, w.one("GET /shop/a HTTP/1.1\n\n").StatusCode)
	})
}

// requireStays refuses an answer that sends a browser to another host.
func requireStays(t *testing.T, a answer, name string) {
	t.Helper()
	to := a.Header.Get("Location")
	if to != "" {
		require.True(t, strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") && !strings.HasPrefix(to, `/\`), "%s leads to %q", name, to)
	}
}

func TestHT8PathsLeadNowhereElse(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		for _, target := range []string{
			"/../etc/passwd", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/docs/../../etc/passwd", "/docs/..%5c..%5cwindows/win.ini",
			"/docs/%2e%2e/%2e%2e/go.mod", "/docs//etc/passwd", "/docs/..;/x", "/.git/config", "/.env", "/docs/.hidden", "/docs/%00.html",
			"/%c0%ae%c0%ae/etc/passwd", "/%ff", "/v1/greetings/%ff", "/v1/greetings/a%2fb", "/v1/greetings/..", "/v1/greetings/.",
			"//example.org/%2f..", "///example.org", "/\\example.org", "/docs\\..\\x", "/%5cexample.org", "/docs/%0d%0aSet-Cookie:a=b",
			"/%0d%0aLocation:%20http://example.org", "/v1/greetings/a%0d%0aX:%20y", "/v1//greetings/Ada", "/v1/./greetings/Ada",
			"/v1/greetings/Ada/", "/v1/greetings/Ada;a=b", "/v1/greetings/Ada:nothing", "/v1/greetings/" + strings.Repeat("x", 8000),
			"/" + strings.Repeat("a/", 4000), "/debug/pprof/", "/metrics", "/debug/vars", "/healthz", "/v1/agent/self", "/v1/kv/", "/?a=%0d%0aX:y",
			"/shop/../v1/greetings/Ada", "/shop/%2e%2e/consul", "/shop/..%2fx", "/shop/a%5c..%5cb", "/shop//example.org", "/shop/%00", "/shop/.",
		} {
			w.shop.forget()
			all, _ := w.send("GET " + target + " HTTP/1.1\nHost: x\nConnection: close\n\n")
			require.Len(t, all, 1, target)
			a := all[0]
			require.Less(t, a.StatusCode, 500, "%s: %s", target, a.text)
			requireStays(t, a, target)
			for _, name := range []string{"Set-Cookie", "X"} {
				require.Empty(t, a.Header.Get(name), target)
			}
			for _, inside := range []string{"root:", "module example.com", "[core]", "goroutine profile", "go_gc"} {
				require.NotContains(t, a.text, inside, target)
			}
			for _, seen := range w.shop.journal() {
				require.NotContains(t, seen, "..", target)
				require.NotContains(t, seen, "//", target)
			}
			if a.StatusCode >= 400 && a.text != "" && strings.HasPrefix(a.Header.Get("Content-Type"), "application/json") {
				requireError(t, a, target)
			}
		}
	})
}

func TestHT8AnswersTakeNoHeadersFromRequests(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.shop.on("/redirect", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Location", "/"+r.URL.Query().Get("to"))
			rw.WriteHeader(http.StatusFound)
		})
		a := w.one("GET /shop/redirect?to=x%0d%0aSet-Cookie:%20a=b HTTP/1.1\nHost: x\n\n")
		require.Equal(t, 302, a.StatusCode, "passed on, not followed")
		require.Empty(t, a.Header.Get("Set-Cookie"))
	})
}

func TestHT9AnswersTellNothingThatTheyNeedNot(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		for _, path := range []string{"/v1/greetings/Ada", "/nothing", "/openapi.json", "/docs/"} {
			a := w.one("GET " + path + " HTTP/1.1\nHost: x\nOrigin: http://evil.example\nAccess-Control-Request-Method: GET\n\n")
			require.Equal(t, "nosniff", a.Header.Get("X-Content-Type-Options"), path)
			for _, name := range []string{"Access-Control-Allow-Origin", "Server", "X-Powered-By", "Via", "Grpc-Status"} {
				require.Empty(t, a.Header.Get(name), "%s: %s", path, name)
			}
		}
		for _, id := range []string{"<script>", "a b", "x\ty", strings.Repeat("x", 300), "\u00e9", "a\"b", "%0d%0a"} {
			a := w.one("GET /v1/greetings/Ada HTTP/1.1\nHost: x\nX-Request-Id: " + id + "\n\n")
			require.Equal(t, 200, a.StatusCode, id)
			require.NotEmpty(t, a.Header.Get("X-Request-Id"))
			require.NotEqual(t, id, a.Header.Get("X-Request-Id"), "not checked before it is sent back")
		}
		a := w.one("GET /v1/greetings/Ada HTTP/1.1\nHost: x\nX-Request-Id: mine-1\n\n")
		require.Equal(t, "mine-1", a.Header.Get("X-Request-Id"))
	})
}
