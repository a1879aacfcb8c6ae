package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/network"
	"example.com/app/platform/proxy"
	"example.com/app/platform/registry"
)

// tally counts who answers n requests.
func (w *world) tally(n int) map[string]int {
	count := make(map[string]int)
	for range n {
		code, body := w.get("/shop/")
		if code != 200 {
			body = fmt.Sprint(code)
		}
		count[body]++
	}
	return count
}

func TestEveryInstanceGetsItsShare(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		for _, h := range []string{"a", "b", "c"} {
			w.backend(t, "shop", h, says(h))
		}
		w.start(t, proxy.Config{}, "/shop=shop")
		got := w.tally(300)
		for _, h := range []string{"a", "b", "c"} {
			require.InDelta(t, 100, got[h], 50, got)
		}
	})
}

func TestInstancesThatComeAndGoAreFollowedWithoutALostRequest(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.backend(t, "shop", "a", says("a"))
		w.start(t, proxy.Config{}, "/shop=shop")
		require.Equal(t, map[string]int{"a": 4}, w.tally(4))

		leave := w.backend(t, "shop", "b", says("b"))
		w.eventually(func() bool { return w.tally(2)["b"] == 1 }, "b gets its share")

		leave()
		for range 20 {
			require.Zero(t, w.tally(1)["502"], "b is closed, perhaps still listed, and nothing is lost")
		}
		w.eventually(func() bool { return w.tally(4)["a"] == 4 }, "b is forgotten")
	})
}

func TestAnInstanceThatRefusesIsPassedOverWhateverTheMethod(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.list(t, "shop", "gone", "127.0.0.1:1")
		w.backend(t, "shop", "here", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
		w.start(t, proxy.Config{}, "/shop=shop")
		for range 6 {
			res, body := w.do("POST", "/shop/", "the whole body")
			require.Equal(t, 200, res.StatusCode)
			require.Equal(t, "the whole body", body)
		}
	})
}

func TestAnInstanceThatBreaksOffItsAnswersIsSetAside(t *testing.T) {
	for name, body := range map[string]io.Reader{"a plain request": nil, "a long upload": strings.NewReader(strings.Repeat("x", 64<<10))} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, func(t *testing.T, w *world) {
				w.backend(t, "shop", "good", says("ok"))
				w.backend(t, "shop", "bad", func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					_, _ = io.WriteString(w, "begun")
					_ = http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				})
				w.start(t, proxy.Config{}, "/shop=shop")
				broken := 0
				for range 100 {
					req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://edge/shop/", body)
					require.NoError(t, err)
					if s, ok := body.(*strings.Reader); ok {
						_, _ = s.Seek(0, io.SeekStart)
					}
					res, err := w.client.Do(req)
					require.NoError(t, err)
					if _, err = io.Copy(io.Discard, res.Body); err != nil {
						broken++
					}
					_ = res.Body.Close()
				}
				require.GreaterOrEqual(t, broken, 1)
				require.LessOrEqual(t, broken, 6, "five in a row, and a call that tries again")
			})
		})
	}
}

// A dialled network counts dials.
type dialled struct {
	network.Network
	to func(addr string)
}

func (d dialled) Dial(ctx context.Context, addr string) (net.Conn, error) {
	d.to(addr)
	return d.Network.Dial(ctx, addr)
}

func TestAnInstanceThatRefusedIsTriedAgainAfterASecond(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		w.list(t, "shop", "gone", "gone:1")
		w.backend(t, "shop", "here", says("ok"))
		var dials atomic.Int32
		host := w.host
		w.host = func(name string) network.Network {
			return dialled{host(name), func(addr string) {
				if addr == "gone:1" {
					dials.Add(1)
				}
			}}
		}
		w.start(t, proxy.Config{}, "/shop=shop")
		require.Equal(t, 10, w.tally(10)["ok"])
		require.EqualValues(t, 1, dials.Load(), "once refused, set aside")
		time.Sleep(time.Second)
		require.Equal(t, 10, w.tally(10)["ok"])
		require.EqualValues(t, 2, dials.Load(), "and tried again later")
	})
}

func TestGW13NoInstanceIs503AndNoneReachable502(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.list(t, "refused", "a", "127.0.0.1:1")
		w.list(t, "refused", "b", "127.0.0.1:2")
		w.start(t, proxy.Config{}, "/none=none", "/refused=refused")
		code, body := w.get("/none")
		require.Equal(t, 503, code)
		require.Contains(t, body, `no instance of service \"none\" is up`)
		code, body = w.get("/refused")
		require.Equal(t, 502, code)
		require.Contains(t, body, "BACKEND_REFUSED")
		require.NotContains(t, body, "127.0.0.1", "addresses stay inside")
	})
}

// A slow registry answers late, or with errors first.
type slow struct {
	registry.Registry
	after time.Duration
}

func (s slow) Watch(ctx context.Context, role string) iter.Seq2[[]registry.Instance, error] {
	return func(yield func([]registry.Instance, error) bool) {
		if !yield(nil, errs.Unavailable.New("not yet")) {
			return
		}
		select {
		case <-time.After(s.after):
			s.Registry.Watch(ctx, role)(yield)
		case <-ctx.Done():
		}
	}
}

func TestTheFirstSetIsWaitedForButNotForEver(t *testing.T) {
	for after, want := range map[time.Duration]int{time.Second: 200, 3 * time.Second: 503} {
		inMemory(t, func(t *testing.T, w *world) {
			w.backend(t, "shop", "a", says("a"))
			w.start(t, proxy.Config{Registry: slow{w.registry.Host("edge"), after}}, "/shop=shop")
			began := time.Now()
			code, _ := w.get("/shop")
			require.Equal(t, want, code)
			require.Equal(t, min(after, 2*time.Second), time.Since(began))
			time.Sleep(3 * time.Second)
			code, _ = w.get("/shop")
			require.Equal(t, 200, code)
		})
	}
}

// reads answers nothing: it reads a request, body and all, and hangs up.
func reads(seen *atomic.Int32) func(net.Conn) {
	return func(c net.Conn) {
		if req, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			seen.Add(1)
			_, _ = io.Copy(io.Discard, req.Body)
		}
	}
}

func TestRT3PostIsNeverSentTwice(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		var seen atomic.Int32
		for _, h := range []string{"a", "b", "c"} {
			w.raw(t, "shop", h, reads(&seen))
		}
		w.start(t, proxy.Config{}, "/shop=shop")
		for _, body := range []string{"", "x", strings.Repeat("x", 1<<20)} {
			seen.Store(0)
			res, answer := w.do("POST", "/shop", body, "Idempotency-Key", "k")
			require.Equal(t, 502, res.StatusCode)
			require.Contains(t, answer, "BACKEND_BROKEN")
			require.EqualValues(t, 1, seen.Load())
		}
	})
}

func TestRT3PostIsNotRepeatedOnAReusedConnection(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		var posts atomic.Int32
		keys := make(chan string, 10)
		w.raw(t, "shop", "a", func(c net.Conn) {
			r := bufio.NewReader(c)
			for {
				req, err := http.ReadRequest(r)
				if err != nil || req.Method == "POST" {
					if err == nil {
						posts.Add(1)
						keys <- req.Header.Get("Idempotency-Key")
					}
					return // hang up, as a server does that was just told to stop
				}
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		})
		w.start(t, proxy.Config{}, "/shop=shop")
		code, _ := w.get("/shop")
		require.Equal(t, 200, code)
		res, _ := w.do("POST", "/shop", "", "Idempotency-Key", "k")
		require.Equal(t, 502, res.StatusCode)
		require.EqualValues(t, 1, posts.Load())
		require.Equal(t, "k", <-keys, "the header itself arrives")
	})
}

func TestRunEndsWhatItBeganAndThenNothingIsServed(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		began, left := make(chan struct{}), make(chan struct{})
		w.backend(t, "shop", "a", func(rw http.ResponseWriter, r *http.Request) {
			rw.WriteHeader(200)
			_ = http.NewResponseController(rw).Flush()
			close(began)
			<-r.Context().Done()
			close(left)
		})
		w.start(t, proxy.Config{}, "/shop=shop")
		res, err := w.client.Get("http://x/shop")
		require.NoError(t, err)
		defer res.Body.Close()
		<-began
		require.NoError(t, w.stop())
		<-left
		_, err = io.ReadAll(res.Body)
		require.Error(t, err, "what was cut is not ended")
		code, _ := w.get("/shop")
		require.Equal(t, 503, code)
	})
}

type endless struct{ registry.Registry }

func (endless) Watch(context.Context, string) iter.Seq2[[]registry.Instance, error] {
	return func(yield func([]registry.Instance, error) bool) { yield(nil, syscall.EIO) }
}

func TestRunSaysWhenTheRegistryGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := proxy.New(proxy.Config{Registry: endless{}}, []proxy.Route{{Prefix: "/shop", Service: "shop"}})
		require.NoError(t, err)
		require.EqualError(t, p.Run(t.Context()), "watch shop: the registry ended it")
	})
}
