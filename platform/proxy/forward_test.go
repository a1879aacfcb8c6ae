package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/policy"
	"example.com/app/platform/proxy"
)

// balanced makes one balancer, which the test has too.
func balanced() (*balance.Balancer, func(string) *balance.Balancer) {
	b := balance.New(balance.Config{Policy: policy.PeakEWMA{}})
	return b, func(string) *balance.Balancer { return b }
}

// An upgrade to what nobody speaks is taken off, and goes by way of http.Transport.
var roundabout = []string{"Connection", "Upgrade", "Upgrade", "nothing"}

func TestAPlainRequestLooksLikeAnyOther(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.backend(t, "shop", "a", func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body) // first: net/http drops what is left of it when the answer begins
			rw.Header().Set("Date", "now")
			rw.Header()["X-Several"] = []string{"1", "2"}
			echo(rw, r)
			_, _ = fmt.Fprintf(rw, "%d %v\n", r.ContentLength, r.TransferEncoding)
			_, _ = rw.Write(body)
		})
		w.start(t, proxy.Config{}, "/shop=shop")
		for _, c := range []struct {
			method, path, body string
			headers            []string
		}{
			{"GET", "/shop", "", nil},
			{"GET", "/shop/a b/%C3%A9/(x)!*'", "", nil},
			{"GET", "/shop/?a=%20b&c=%2F&d=(x)!*'", "", nil},
			{"GET", "/shop/?a=;b", "", nil},
			{"GET", "/shop/?a=%zz&b=c", "", nil},
			{"HEAD", "/shop/x", "", nil},
			{"DELETE", "/shop/x", "", nil},
			{"DELETE", "/shop/x", "why", nil},
			{"POST", "/shop/x", "", nil},
			{"PUT", "/shop/x", "put", []string{"Content-Type", "text/plain"}},
			{"PATCH", "/shop/x", strings.Repeat("long", 4<<10), nil},
			{"POST", "/shop/x", strings.Repeat("longer", 4<<10), nil},
			{"GET", "/shop/x", "", []string{"User-Agent", "mine", "Cookie", "a=b", "Cookie", "c=d", "Te", "trailers, deflate", "X", "é"}},
			{"GET", "/shop/x", "", []string{"X-Forwarded-For", "FORGED", "A_b", "FORGED", "Keep-Alive", "HOP"}},
		} {
			direct, body := w.do(c.method, c.path, c.body, c.headers...)
			other, otherBody := w.do(c.method, c.path, c.body, append(c.headers, roundabout...)...)
			require.Equal(t, otherBody, body, c)
			require.Equal(t, other.Header, direct.Header, c)
			require.Equal(t, other.StatusCode, direct.StatusCode, c)
			require.Equal(t, other.ContentLength, direct.ContentLength, c)
		}
	})
}

func TestInformationalAnswersPass(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.backend(t, "shop", "a", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Link", "</style.css>")
			rw.WriteHeader(http.StatusEarlyHints)
			rw.Header().Del("Link")
			_, _ = io.WriteString(rw, "answer")
		})
		w.start(t, proxy.Config{}, "/shop=shop")
		var hints []string
		req, err := http.NewRequest("GET", "http://x/shop", nil)
		require.NoError(t, err)
		req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				hints = append(hints, fmt.Sprint(code, h.Get("Link")))
				return nil
			},
		}))
		res, err := w.client.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		require.Equal(t, []string{"103</style.css>"}, hints)
		require.Empty(t, res.Header.Get("Link"))
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, "answer", string(body))
	})
}

// forgetful answers the first request of a connection and hangs up at the next,
// which it counts.
func forgetful(again *atomic.Int32) func(net.Conn) {
	return func(c net.Conn) {
		r := bufio.NewReader(c)
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		if req, err := http.ReadRequest(r); err == nil {
			_, _ = io.Copy(io.Discard, req.Body)
			again.Add(1)
		}
	}
}

func TestOnlyWhatIsHarmlessIsSentAgainOnANewConnection(t *testing.T) {
	for _, c := range []struct {
		method, body string
		code         int
	}{
		{"GET", "", 200}, {"HEAD", "", 200}, {"OPTIONS", "", 200}, {"PUT", "", 200}, {"DELETE", "", 200},
		{"POST", "", 502}, {"PATCH", "", 502}, {"MINE", "", 502}, {"PUT", "x", 502}, {"GET", "x", 502},
	} {
		everyWorld(t, func(t *testing.T, w *world) {
			var again atomic.Int32
			w.raw(t, "shop", "a", forgetful(&again))
			w.start(t, proxy.Config{}, "/shop=shop")
			code, _ := w.get("/shop")
			require.Equal(t, 200, code)
			res, _ := w.do(c.method, "/shop", c.body)
			require.Equal(t, c.code, res.StatusCode, "%s %q", c.method, c.body)
			require.EqualValues(t, 1, again.Load(), c.method)
		})
	}
}

func TestRT1RepetitionsHaveABudget(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		var again atomic.Int32
		w.raw(t, "shop", "a", forgetful(&again))
		w.start(t, proxy.Config{}, "/shop=shop")
		failed := 0
		for range 200 { // in no time: nothing is paid in but by requests
			if code, _ := w.get("/shop"); code == 502 {
				failed++
			}
		}
		require.InDelta(t, 50, int(again.Load())-failed, 5, "ten to start with, and one for five requests")
		require.Positive(t, failed)
	})
}

func TestARequestIsInFlightUntilItsBodyHasBeenRead(t *testing.T) {
	for _, headers := range [][]string{nil, roundabout} {
		inMemory(t, func(t *testing.T, w *world) {
			b, fresh := balanced()
			rest := make(chan struct{})
			w.backend(t, "shop", "a", func(rw http.ResponseWriter, _ *http.Request) {
				time.Sleep(10 * time.Millisecond)
				_, _ = io.WriteString(rw, "first")
				_ = http.NewResponseController(rw).Flush()
				<-rest
			})
			w.start(t, proxy.Config{NewBalancer: fresh}, "/shop=shop")
			req, err := http.NewRequest("GET", "http://x/shop", nil)
			require.NoError(t, err)
			for i := 0; i < len(headers); i += 2 {
				req.Header.Add(headers[i], headers[i+1])
			}
			res, err := w.client.Do(req)
			require.NoError(t, err)
			defer res.Body.Close()
			time.Sleep(time.Second)
			row := b.Explain().Peers[0]
			close(rest)
			require.Equal(t, 1, row.InFlight)
			require.InDelta(t, 10, row.Latency.Seconds()*1000, 1, "the time to the head")
			_, err = io.ReadAll(res.Body)
			require.NoError(t, err)
			synctest.Wait()
			require.Zero(t, b.Explain().Peers[0].InFlight)
		})
	}
}

func TestAWebsocketIsInFlightAndSaysNothingOfSpeed(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		b, fresh := balanced()
		w.backend(t, "shop", "a", func(rw http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			upgrades(rw, r)
		})
		w.start(t, proxy.Config{NewBalancer: fresh}, "/shop=shop")
		res, _, c := w.send(upgrade)
		require.Equal(t, 101, res.StatusCode)
		require.Less(t, b.Explain().Peers[0].Latency, 500*time.Millisecond)
		time.Sleep(time.Minute)
		require.Equal(t, 1, b.Explain().Peers[0].InFlight)
		require.NoError(t, c.Close())
		synctest.Wait()
		require.Zero(t, b.Explain().Peers[0].InFlight)
	})
}

func TestWhatCountsAsAFailureCanBeSet(t *testing.T) {
	for _, c := range []struct {
		status  int
		failure func(int) bool
		failed  bool
	}{
		{500, nil, true}, {503, nil, true}, {501, nil, false}, {404, nil, false}, {429, nil, false},
		{429, func(status int) bool { return status == 429 }, true},
		{500, func(status int) bool { return status == 429 }, false},
	} {
		for _, headers := range [][]string{nil, roundabout} {
			inMemory(t, func(t *testing.T, w *world) {
				b, fresh := balanced()
				w.backend(t, "shop", "a", func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(c.status) })
				w.start(t, proxy.Config{NewBalancer: fresh, Failure: c.failure}, "/shop=shop")
				w.do("GET", "/shop", "", headers...)
				synctest.Wait()
				require.Equal(t, c.failed, b.Explain().Peers[0].Success < 1, "%d", c.status)
			})
		}
	}
}

// keyed is a policy that notes keys.
type keyed struct {
	balance.Policy
	keys chan uint64
}

func (k keyed) Pick(c balance.Call, s *balance.Set) balance.Choice {
	k.keys <- c.Key
	return k.Policy.Pick(c, s)
}

func TestAHeaderCanKeepRequestsTogether(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		keys := make(chan uint64, 1)
		for _, h := range []string{"a", "b"} {
			w.backend(t, "shop", h, says("ok"))
		}
		w.start(t, proxy.Config{
			NewBalancer: func(string) *balance.Balancer {
				return balance.New(balance.Config{Policy: keyed{policy.PeakEWMA{}, keys}, SlowStart: -1})
			},
			HashHeader: func(service string) string { return map[string]string{"shop": "x-user"}[service] },
		}, "/shop=shop")
		for _, headers := range [][]string{nil, roundabout} {
			w.do("GET", "/shop", "", append([]string{"X-User", "ada"}, headers...)...)
			require.Equal(t, balance.Hash("ada"), <-keys)
			w.do("GET", "/shop", "", headers...)
			require.Zero(t, <-keys)
		}
	})
}

func TestAClientThatLeavesIsNotHeldAgainstTheInstance(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		b, fresh := balanced()
		w.raw(t, "shop", "a", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		w.start(t, proxy.Config{NewBalancer: fresh}, "/shop=shop")
		w.client.Timeout = time.Second
		_, err := w.client.Get("http://x/shop")
		require.Error(t, err)
		synctest.Wait()
		row := b.Explain().Peers[0]
		require.Equal(t, 1.0, row.Success)
		require.Zero(t, row.InFlight)
	})
}
