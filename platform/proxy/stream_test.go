package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/proxy"
)

func TestAStreamIsReadAsItIsWritten(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		next := make(chan string)
		w.backend(t, "shop", "a", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "text/event-stream")
			for s := range next {
				_, _ = io.WriteString(rw, s)
				_ = http.NewResponseController(rw).Flush()
			}
		})
		w.start(t, proxy.Config{}, "/shop=shop")
		go func() { next <- "one\n" }()
		res, err := w.client.Get("http://x/shop")
		require.NoError(t, err)
		defer res.Body.Close()
		require.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
		lines := bufio.NewScanner(res.Body)
		require.True(t, lines.Scan())
		require.Equal(t, "one", lines.Text())
		next <- "two\n" // only now, so the first was not waiting for it
		require.True(t, lines.Scan())
		require.Equal(t, "two", lines.Text())
		close(next)
		require.False(t, lines.Scan())
		require.NoError(t, lines.Err())
	})
}

func TestABodyOfKnownLengthIsAlsoReadAsItIsWritten(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		w.backend(t, "shop", "a", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Length", "2")
			_, _ = io.WriteString(rw, "a")
			_ = http.NewResponseController(rw).Flush()
			time.Sleep(10 * time.Second)
			_, _ = io.WriteString(rw, "b")
		})
		w.start(t, proxy.Config{}, "/shop=shop")
		began := time.Now()
		res, err := w.client.Get("http://x/shop")
		require.NoError(t, err)
		defer res.Body.Close()
		_, err = io.ReadFull(res.Body, make([]byte, 1))
		require.NoError(t, err)
		require.Zero(t, time.Since(began))
		rest, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, "b", string(rest))
	})
}

func TestTrailersPassBothWays(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.backend(t, "shop", "a", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Trailer", "Sum")
			_, _ = io.Copy(rw, r.Body)
			rw.Header().Set("Sum", "of "+r.Trailer.Get("Check")+r.Trailer.Get("X-Forwarded-For")+r.Trailer.Get("A_b"))
			rw.Header().Set(http.TrailerPrefix+"Late", "unannounced")
		})
		w.start(t, proxy.Config{}, "/shop=shop")
		req, err := http.NewRequest("POST", "http://x/shop", io.MultiReader(strings.NewReader("body")))
		require.NoError(t, err)
		req.Trailer = http.Header{"Check": {"42"}, "X-Forwarded-For": {"FORGED"}, "A_b": {"FORGED"}}
		res, err := w.client.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, "body", string(body))
		require.Equal(t, http.Header{"Sum": {"of 42"}, "Late": {"unannounced"}}, res.Trailer)
	})
}

// upgrades answers an upgrade and echoes lines.
func upgrades(rw http.ResponseWriter, r *http.Request) {
	c, b, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Key: %s\r\n\r\n", r.Header.Get("Sec-Websocket-Key"))
	for {
		line, err := b.ReadString('\n')
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "echo "+line)
	}
}

const upgrade = "GET /shop/ws HTTP/1.1\nHost: x\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Key: k\n\n"

func TestAWebsocketPassesAndEndsWithTheProxy(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.backend(t, "shop", "a", upgrades)
		w.start(t, proxy.Config{BodyGrace: time.Second}, "/shop=shop")
		res, r, c := w.send(upgrade)
		require.Equal(t, 101, res.StatusCode)
		require.Equal(t, "k", res.Header.Get("X-Key"))
		for _, line := range []string{"a\n", "b\n"} {
			_, err := io.WriteString(c, line)
			require.NoError(t, err)
			got, err := r.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, "echo "+line, got)
		}
		require.NoError(t, w.stop())
		_, err := r.ReadByte()
		require.Error(t, err)
	})
}

func TestASilentWebsocketLives(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		w.backend(t, "shop", "a", upgrades)
		w.start(t, proxy.Config{}, "/shop=shop")
		_, r, c := w.send(upgrade)
		time.Sleep(time.Hour)
		_, err := io.WriteString(c, "still\n")
		require.NoError(t, err)
		got, err := r.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "echo still\n", got)
	})
}

func TestHT13OnlyWebsocketsAreAskedFor(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		startEcho(t, w)
		for name, request := range map[string]string{
			"h2c":                 "GET /shop HTTP/1.1\nHost: x\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\n\n",
			"tls":                 "GET /shop HTTP/1.1\nHost: x\nConnection: Upgrade\nUpgrade: TLS/1.0\n\n",
			"websocket by a body": "GET /shop HTTP/1.1\nHost: x\nConnection: Upgrade\nUpgrade: websocket\nContent-Length: 1\n\nx",
			"websocket by POST":   "POST /shop HTTP/1.1\nHost: x\nConnection: Upgrade\nUpgrade: websocket\nContent-Length: 0\n\n",
		} {
			res, _, _ := w.send(request)
			require.Equal(t, 200, res.StatusCode, name)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.NotContains(t, string(body), "Upgrade", name)
			require.NotContains(t, string(body), "Settings", name)
		}
	})
}

func TestGW9AnUnasked101Is502(t *testing.T) {
	for name, answer := range map[string]string{
		"without a protocol": "HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"with one":           "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, func(t *testing.T, w *world) {
				w.raw(t, "shop", "a", answers(answer+"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nSMUGGLED"))
				w.start(t, proxy.Config{}, "/shop=shop")
				code, body := w.get("/shop")
				require.Equal(t, 502, code)
				require.NotContains(t, body, "SMUGGLED")
			})
		})
	}
	inMemory(t, func(t *testing.T, w *world) {
		w.raw(t, "shop", "a", answers("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"))
		w.start(t, proxy.Config{}, "/shop=shop")
		res, _, _ := w.send(upgrade)
		require.Equal(t, 502, res.StatusCode, "not the protocol asked for")
	})
}

// answers reads a request and answers with a text, whatever it is.
func answers(text string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, text)
		}
	}
}

func TestRT6AClientThatLeavesCancelsTheBackend(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		began, left := make(chan struct{}), make(chan struct{})
		w.backend(t, "shop", "a", func(_ http.ResponseWriter, r *http.Request) {
			close(began)
			<-r.Context().Done()
			close(left)
		})
		w.start(t, proxy.Config{}, "/shop=shop")
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-began; cancel() }()
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://x/shop", nil)
		_, err := w.client.Do(req)
		require.ErrorIs(t, err, context.Canceled)
		<-left
	})
}

func TestRedirectsAndEncodedBodiesPassAsTheyAre(t *testing.T) {
	inMemory(t, func(t *testing.T, w *world) {
		w.backend(t, "shop", "a", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Location", "http://elsewhere/")
			rw.Header().Set("Content-Encoding", "gzip")
			rw.WriteHeader(302)
			_, _ = io.WriteString(rw, "no gzip"+r.Header.Get("Accept-Encoding"))
		})
		w.start(t, proxy.Config{}, "/shop=shop")
		res, body := w.do("GET", "/shop", "")
		require.Equal(t, 302, res.StatusCode)
		require.Equal(t, "http://elsewhere/", res.Header.Get("Location"))
		require.Equal(t, "no gzip", body)
	})
}
