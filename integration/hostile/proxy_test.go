package hostile

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/app"
	"example.com/app/platform/proxy"
	"example.com/app/services"
)

func TestGW1OnlyRoutesThatWereNamedReachServices(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		for _, path := range []string{"/consul", "/greeter", "/phrasebook", "/interop", "/gateway", "/shopping", "/sho", "/SHOP/a", "/v1/agent/services", "/shop:80/a"} {
			require.Equal(t, 404, w.one("GET "+path+" HTTP/1.1\nHost: shop\nX-Service: shop\n\n").StatusCode, path)
		}
		require.Empty(t, w.shop.journal())
	})
	for _, service := range []string{"consul", "greeter"} {
		cfg := app.Config{Roles: services.All, Run: map[string]int{"gateway": 1}, Routes: []proxy.Route{{Prefix: "/x", Service: service}}}
		cfg.Security.Insecure = true
		node, err := app.New(cfg)
		if err == nil {
			err = node.Run(t.Context())
		}
		require.ErrorContains(t, err, service, "what speaks gRPC, and Consul itself, are no backends")
	}
}

func TestGW2HopByHopHeadersEndAtTheGateway(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		for _, body := range []string{"Content-Length: 2\n\nhi", "Transfer-Encoding: chunked\n\n2\nhi\n0\n\n"} {
			w.one("POST /shop/a HTTP/1.1\nHost: x\nConnection: X-Forwarded-For, X-Real-Ip, X-Forwarded-Host, Secret, Content-Length, Host\n" +
				"Keep-Alive: 5\nProxy-Authorization: SECRET\nProxy-Connection: x\nTe: gzip\nSecret: SECRET\n" + body)
			h := w.shop.head()
			for _, name := range []string{"Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Te", "Secret"} {
				require.Empty(t, h[name], name)
			}
			for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "X-Forwarded-Host"} {
				require.NotEmpty(t, h[name], "%s is ours, and no client takes it off", name)
			}
		}
	})
}

func TestGW3GW4NobodySaysForUsWhereARequestComesFrom(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		var forged strings.Builder
		for _, name := range []string{
			"X-Forwarded-For", "x-forwarded-host", "X-FORWARDED-PROTO", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Real-Ip",
			"Forwarded", "X_Forwarded_For", "X-Forwarded_For", "X_Real_Ip", "X-Client-Cert", "X-Forwarded-Client-Cert", "X-Ssl-Client-Cert", "True-Client-Ip",
		} {
			forged.WriteString(name + ": FORGED\n")
		}
		for _, body := range []string{"Content-Length: 2\n\nhi", "Transfer-Encoding: chunked\n\n2\nhi\n0\n\n"} {
			require.Equal(t, 200, w.one("POST /shop/a HTTP/1.1\nHost: x\n"+forged.String()+body).StatusCode)
			require.NotContains(t, fmt.Sprint(w.shop.head()), "FORGED")
		}
	})
}

func TestGW7ManyParametersHideNothing(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		query := strings.Repeat("a&", 10_050) + "last=1"
		a := w.one("GET /shop/a?" + query + " HTTP/1.1\nHost: x\n\n")
		require.Contains(t, []int{200, 400, 414}, a.StatusCode)
		for _, seen := range w.shop.journal() {
			require.True(t, strings.HasSuffix(seen, "last=1"), "the backend sees all or nothing")
		}
		a = w.one("GET /v1/greetings/Ada?" + strings.Repeat("language=en&", 600) + "admin=1 HTTP/1.1\nHost: x\n\n")
		require.Equal(t, 400, a.StatusCode, "the last one is unknown, and seen")
	})
}

// rogue has the shop write an answer of its own making.
func rogue(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(c, crlf(text))
		_ = c.Close()
	}
}

func TestGW8GW9AnswersThatAreNoneDoNotPass(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		const evil = "HTTP/1.1 200 OK\nContent-Length: 4\n\nEVIL"
		for name, text := range map[string]string{
			"garbage":              "garbage\n\n",
			"nothing":              "",
			"long headers":         "HTTP/1.1 200 OK\nA: " + strings.Repeat("x", 80<<10) + "\nContent-Length: 0\n\n",
			"two lengths":          "HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 4\n\nabEVIL",
			"bad length":           "HTTP/1.1 200 OK\nContent-Length: -2\n\nab",
			"unknown encoding":     "HTTP/1.1 200 OK\nTransfer-Encoding: gzip\n\nab",
			"an unasked upgrade":   "HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: websocket\n\n" + evil,
			"bad status":           "HTTP/1.1 99 What\n\n",
			"another protocol":     "HTTP/3.0 200 OK\n\n",
			"a line without colon": "HTTP/1.1 200 OK\nnonsense\nContent-Length: 0\n\n",
		} {
			w.shop.on("/rogue", rogue(text))
			all, _ := w.send("GET /shop/rogue HTTP/1.1\nHost: x\nConnection: close\n\n")
			require.Len(t, all, 1, name)
			require.Equal(t, 502, all[0].StatusCode, "%s: %s", name, all[0].text)
			requireError(t, all[0], name)
		}
		for name, text := range map[string]string{
			"cut":           "HTTP/1.1 200 OK\nContent-Length: 10\n\nab",
			"cut in chunks": "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nab\n",
			"bad chunk":     "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nab\nzz\n",
		} {
			w.shop.on("/rogue", rogue(text))
			s := w.connect("gateway")
			s.say("GET /shop/rogue HTTP/1.1\nHost: x\n\n")
			require.NoError(t, s.SetReadDeadline(time.Now().Add(20*time.Second)))
			res, err := http.ReadResponse(s.in, nil)
			require.NoError(t, err, name)
			if res.StatusCode != 502 {
				_, err = io.ReadAll(res.Body)
				require.Error(t, err, "%s: a cut answer looks whole", name)
			}
		}
		w.shop.on("/rogue", rogue("HTTP/1.1 200 OK\nContent-Length: 2\n\nab"+evil))
		require.Equal(t, "ab", w.one("GET /shop/rogue HTTP/1.1\nHost: x\n\n").text)
		for range 5 {
			require.NotContains(t, w.one("GET /shop/next HTTP/1.1\nHost: x\n\n").text, "EVIL", "what was smuggled is nobody's answer")
		}
	})
}

// TestGW10ALongAnswerTakesNoMemory has a reader that takes little of 1 GiB, and
// then all that it can.
func TestGW10ALongAnswerTakesNoMemory(t *testing.T) {
	overTCP(t, func(t *testing.T, w *world) {
		const long = 1 << 30
		w.shop.on("/long", func(rw http.ResponseWriter, _ *http.Request) {
			piece := make([]byte, 64<<10)
			for range long / len(piece) {
				if _, err := rw.Write(piece); err != nil {
					return
				}
			}
		})
		transport := w.transport()
		defer transport.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://gateway/shop/long", http.NoBody)
		require.NoError(t, err)
		before := inUse()
		res, err := transport.RoundTrip(req)
		require.NoError(t, err)
		defer res.Body.Close()
		most := uint64(long)
		if testing.Short() {
			most = 64 << 20
		}
		_, err = io.CopyN(io.Discard, res.Body, 1<<20)
		require.NoError(t, err)
		n, err := io.CopyN(io.Discard, res.Body, int64(most)-1<<20)
		require.NoError(t, err, n)
		require.Less(t, inUse(), before+64<<20)
	})
}

// inUse is the memory of the heap and of stacks.
func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

func TestGW12CredentialsGoToTheirBackendAlone(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.shop.on("/elsewhere", func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "http://evil.example/", http.StatusFound)
		})
		a := w.one("GET /shop/elsewhere HTTP/1.1\nHost: x\nAuthorization: Bearer SECRET\nCookie: a=SECRET\n\n")
		require.Equal(t, 302, a.StatusCode, "the client decides whether to follow")
		require.Equal(t, []string{"GET /elsewhere"}, w.shop.journal())
		for _, path := range []string{"/nothing", "/v1/greetings/%ff", "/shop/%2f", "/v1/greetings/Ada?x=y"} {
			a := w.one("GET " + path + " HTTP/1.1\nHost: x\nAuthorization: Bearer SECRET\nCookie: a=SECRET\n\n")
			require.NotContains(t, a.text+fmt.Sprint(a.Header), "SECRET", path)
		}
		w.shop.forget()
		w.one("GET /v1/greetings/Ada HTTP/1.1\nHost: x\nAuthorization: Bearer SECRET\n\n")
		require.Empty(t, w.shop.journal())
	})
}

// TestGW14AnswersAreNotMixedUpAmongCallers has many ask at once for what differs
// in one part alone.
func TestGW14AnswersAreNotMixedUpAmongCallers(t *testing.T) {
	overTCP(t, func(t *testing.T, w *world) {
		w.shop.on("/me", func(rw http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(rw, r.Header.Get("Authorization"))
		})
		transport := w.transport()
		defer transport.CloseIdleConnections()
		done := make(chan string)
		for i := range 100 {
			go func() {
				me := fmt.Sprint("Bearer ", i)
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://gateway/shop/me", http.NoBody)
				if err != nil {
					done <- err.Error()
					return
				}
				req.Header.Set("Authorization", me)
				res, err := transport.RoundTrip(req)
				if err != nil {
					done <- err.Error()
					return
				}
				defer res.Body.Close()
				text, _ := io.ReadAll(res.Body)
				if string(text) != me {
					done <- fmt.Sprintf("%s got the answer to %s", me, text)
					return
				}
				done <- ""
			}()
		}
		for range 100 {
			require.Empty(t, <-done)
		}
	})
}
