package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/network"
	"example.com/app/platform/proxy"
)

func TestRT7ABackendThatHangsIs504InTime(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		w.raw(t, "shop", "a", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		w.raw(t, "deaf", "b", func(net.Conn) { <-t.Context().Done() })
		w.start(t, proxy.Config{}, "/shop=shop", "/deaf=deaf")
		for _, c := range []struct{ path, body string }{
			{"/shop", ""},
			{"/shop", "small"},
			{"/deaf", strings.Repeat("a body that is never read", 1<<16)},
		} {
			began := time.Now()
			res, body := w.do("POST", c.path, c.body)
			require.Equal(t, 504, res.StatusCode)
			require.Contains(t, body, "BACKEND_TIMEOUT")
			require.InDelta(t, 30, time.Since(began).Seconds(), 0.3)
		}
	})
}

func TestASlowUploadIsNotTheBackendsFault(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		w.backend(t, "shop", "a", func(rw http.ResponseWriter, r *http.Request) { _, _ = io.Copy(rw, r.Body) })
		w.start(t, proxy.Config{}, "/shop=shop")
		r, pipe := io.Pipe()
		go func() {
			for range 5 {
				_, _ = io.WriteString(pipe, "x")
				time.Sleep(time.Minute)
			}
			_ = pipe.Close()
		}()
		req, err := http.NewRequest("POST", "http://x/shop", r)
		require.NoError(t, err)
		res, err := w.client.Do(req)
		require.NoError(t, err)
		require.Equal(t, 200, res.StatusCode)
		_ = res.Body.Close()
	})
}

// dribble writes a piece every so often until nobody listens.
func dribble(kind string, size int, every time.Duration) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", kind)
		for range int(10 * time.Minute / every) {
			if _, err := rw.Write(make([]byte, size)); err != nil {
				return
			}
			_ = http.NewResponseController(rw).Flush()
			time.Sleep(every)
		}
	}
}

func TestRT8ABackendThatDribblesIsCut(t *testing.T) {
	for _, c := range []struct {
		name  string
		serve http.HandlerFunc
		cut   time.Duration // 0: not
	}{
		{"a byte a second", dribble("text/plain", 1, time.Second), 30 * time.Second},
		{"a quarter of the rate", dribble("text/plain", 256, time.Second), 40 * time.Second},
		{"silent after a fast start", dribble("text/plain", 1<<20, 5*time.Minute), 30 * time.Second},
		{"the rate", dribble("text/plain", 5<<10, 5*time.Second), 0},
		{"an event stream", dribble("text/event-stream; charset=utf-8", 1, time.Minute), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inMemory(t, func(t *testing.T, w *world) {
				w.backend(t, "shop", "a", c.serve)
				w.start(t, proxy.Config{}, "/shop=shop")
				began := time.Now()
				res, err := w.client.Get("http://x/shop")
				require.NoError(t, err)
				defer res.Body.Close()
				_, err = io.Copy(io.Discard, res.Body)
				if c.cut == 0 {
					require.NoError(t, err)
					return
				}
				require.Error(t, err, "cut, not ended")
				require.InDelta(t, c.cut.Seconds(), time.Since(began).Seconds(), 2)
			})
		})
	}
}

func TestASlowReaderIsNotTheBackendsFault(t *testing.T) {
	for _, kind := range []string{"text/plain", "text/event-stream"} {
		for _, length := range []string{"", "4194304"} {
			synctest.Test(t, func(t *testing.T) {
				t.Cleanup(func() { time.Sleep(time.Hour) })
				// With little room on the way the very first write waits for the reader,
				// which must not stop virtual time.
				w := newWorld(t, (&network.Memory{Buffer: 64}).Host, ":0")
				w.backend(t, "shop", "a", func(rw http.ResponseWriter, _ *http.Request) {
					rw.Header().Set("Content-Type", kind)
					if length != "" {
						rw.Header().Set("Content-Length", length)
					}
					_, _ = rw.Write(make([]byte, 4<<20))
				})
				w.start(t, proxy.Config{}, "/shop=shop")
				res, err := w.client.Get("http://x/shop")
				require.NoError(t, err)
				defer res.Body.Close()
				time.Sleep(50 * time.Second) // longer than the backend could take, shorter than a reader may
				n, err := io.Copy(io.Discard, res.Body)
				require.NoError(t, err)
				require.EqualValues(t, 4<<20, n)
			})
		}
	}
}

func TestGW8BrokenAnswersAre502OrBrokenOff(t *testing.T) {
	for name, answer := range map[string]string{
		"large header": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 70<<10) + "\r\nContent-Length: 0\r\n\r\n",
		"no HTTP":      "SSH-2.0-OpenSSH\r\n\r\n",
		"two lengths":  "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
		"nothing":      "",
		"cut header":   "HTTP/1.1 200 OK\r\nContent-Le",
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, func(t *testing.T, w *world) {
				w.raw(t, "shop", "a", answers(answer))
				w.start(t, proxy.Config{}, "/shop=shop")
				code, body := w.get("/shop")
				require.Equal(t, 502, code)
				require.JSONEq(t, `{"code":14, "message":"service \"shop\" did not answer as it should", "details":[{
					"@type":"type.googleapis.com/google.rpc.ErrorInfo", "reason":"BACKEND_BROKEN", "domain":"app.example.com", "metadata":{"service":"shop"}}]}`, body)
			})
		})
	}
	for name, answer := range map[string]string{
		"cut length":  "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart",
		"cut chunks":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
		"false chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\nzz\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, func(t *testing.T, w *world) {
				w.raw(t, "shop", "a", answers(answer))
				w.start(t, proxy.Config{}, "/shop=shop")
				res, err := w.client.Get("http://x/shop")
				if err != nil {
					return // broken off before the status
				}
				defer res.Body.Close()
				_, err = io.ReadAll(res.Body)
				require.Error(t, err)
			})
		})
	}
}

func TestGW13AConnectionThatTakesTooLongIs504(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		w.list(t, "shop", "a", "a:1")
		w.list(t, "shop", "b", "b:1")
		host := w.host
		w.host = func(name string) network.Network {
			if name == "edge" {
				return stuck{host(name)}
			}
			return host(name)
		}
		w.start(t, proxy.Config{}, "/shop=shop")
		began := time.Now()
		code, _ := w.get("/shop")
		require.Equal(t, 504, code)
		require.Equal(t, 4*time.Second, time.Since(began), "two instances, two seconds each")
	})
}

// stuck never connects.
type stuck struct{ network.Network }

func (stuck) Dial(ctx context.Context, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestABodyOverTheLimitIs413AndACutOne400(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		w.backend(t, "shop", "a", func(rw http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
		w.start(t, proxy.Config{}, "/shop=shop")
		w.edge = serve(t, w.host("edge"), w.listen, http.MaxBytesHandler(w.proxy, 100))
		res, body := w.do("POST", "/shop", strings.Repeat("x", 101))
		require.Equal(t, 413, res.StatusCode)
		require.Contains(t, body, "more than 100 bytes")
		res, _, _ = w.send("POST /shop HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3\nabc\nzz\n")
		require.Equal(t, 400, res.StatusCode)
	})
}

func TestTheConfiguredErrorWriterGetsTheRequestAsItCame(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		w.start(t, proxy.Config{Error: func(rw http.ResponseWriter, r *http.Request, err error) {
			rw.WriteHeader(errs.HTTP(err))
			_, _ = fmt.Fprintf(rw, "%s %s: %v", r.Method, r.URL.Path, err)
		}}, "/shop=shop")
		code, body := w.get("/shop/x")
		require.Equal(t, 503, code)
		require.Equal(t, `GET /shop/x: no instance of service "shop" is up`, body)
	})
}

func TestRequestsAreCountedByServiceAndClass(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		w.backend(t, "shop", "a", func(rw http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/404":
				http.NotFound(rw, r)
			case "/ws":
				upgrades(rw, r)
			case "/cut":
				_, _ = rw.Write([]byte("part"))
				_ = http.NewResponseController(rw).Flush()
				panic(http.ErrAbortHandler)
			}
		})
		metrics := prometheus.NewRegistry()
		w.start(t, proxy.Config{Metrics: metrics}, "/shop=shop", "/none=none")
		w.get("/shop")
		w.get("/shop/404")
		w.get("/shop/%2e%2e")
		w.get("/none")
		w.get("/elsewhere")
		res, err := w.client.Get("http://x/shop/cut")
		require.NoError(t, err)
		_, err = io.ReadAll(res.Body)
		require.Error(t, err)
		_, _, c := w.send(upgrade)
		require.NoError(t, c.Close())
		w.eventually(func() bool { return counted(t, metrics, "app_proxy_requests_total")["shop 1xx"] == 1 }, "the websocket ended")
		require.Equal(t, map[string]float64{"shop 1xx": 1, "shop 2xx": 1, "shop 4xx": 2, "shop cut": 1, "none 5xx": 1},
			counted(t, metrics, "app_proxy_requests_total"))
		_, err = proxy.New(proxy.Config{Metrics: metrics}, nil)
		require.ErrorContains(t, err, "register the proxy's metrics")
	})
}

// counted are the values of a counter by its labels.
func counted(t *testing.T, g prometheus.Gatherer, name string) map[string]float64 {
	families, err := g.Gather()
	require.NoError(t, err)
	got := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				got[m.GetLabel()[1].GetValue()+" "+m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	return got
}

func TestARequestBeforeRunIsAnswered(t *testing.T) {
	p, err := proxy.New(proxy.Config{FirstSet: time.Nanosecond}, []proxy.Route{{Prefix: "/shop", Service: "shop"}})
	require.NoError(t, err)
	rec := httptest.NewRecorder()
	p.ServeHTTP(rec, httptest.NewRequest("GET", "/shop", nil))
	require.Equal(t, 503, rec.Code)
}
