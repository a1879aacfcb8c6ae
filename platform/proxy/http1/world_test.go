package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/network"
	"example.com/app/platform/proxy/http1"
)

const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// A world is a client and a backend that handles connections itself.
type world struct {
	*http1.Client
	t     *testing.T
	addr  string
	dials atomic.Int32

	settle func() // waits until what was sent has come
}

// everyWorld runs a test in memory and virtual time, and over TCP.
func everyWorld(t *testing.T, c http1.Config, handle func(net.Conn), test func(t *testing.T, w *world)) {
	t.Run("memory", func(t *testing.T) { inMemory(t, c, handle, test) })
	t.Run("TCP", func(t *testing.T) {
		n := new(network.TCP)
		test(t, newWorld(t, c, "127.0.0.1:0", n, n, handle))
	})
}

func inMemory(t *testing.T, c http1.Config, handle func(net.Conn), test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		n := network.NewMemory()
		w := newWorld(t, c, ":0", n.Host("edge"), n.Host("backend"), handle)
		w.settle = synctest.Wait
		test(t, w)
	})
}

func newWorld(t *testing.T, c http1.Config, listen string, edge, backend network.Network, handle func(net.Conn)) *world {
	l, err := backend.Listen(t.Context(), listen)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer nc.Close(); handle(nc) }()
		}
	}()
	w := &world{t: t, addr: l.Addr().String(), settle: func() {}}
	c.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
		w.dials.Add(1)
		nc, err := edge.Dial(ctx, addr)
		if err == nil {
			t.Cleanup(func() { _ = nc.Close() })
		}
		return nc, err
	}
	w.Client = http1.New(c)
	t.Cleanup(w.Close)
	return w
}

// do sends a GET and reads the whole answer.
func (w *world) do() (status int, body string, err error) {
	res, err := w.Do(w.t.Context(), w.request())
	if err != nil {
		return 0, "", err
	}
	defer res.Close()
	body, err = read(res)
	return res.Status, body, err
}

func (w *world) request() *http1.Request {
	return &http1.Request{Addr: w.addr, Text: []byte(get), Until: time.Now().Add(10 * time.Second)}
}

func read(res *http1.Response) (string, error) {
	var body bytes.Buffer
	for {
		piece, err := res.Next()
		body.Write(piece)
		if errors.Is(err, io.EOF) {
			return body.String(), nil
		}
		if err != nil {
			return body.String(), err
		}
	}
}

// answers reads requests and answers each with a text.
func answers(text string) func(net.Conn) {
	return func(c net.Conn) {
		for r := bufio.NewReader(c); ; {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}
}

// canned is a connection that has the answer already.
type canned struct {
	net.Conn
	*bytes.Reader
}

func (c canned) Read(b []byte) (int, error)  { return c.Reader.Read(b) }
func (c canned) Write(b []byte) (int, error) { return len(b), nil }
func (c canned) Close() error                { return nil }

// reading returns the answer that a client makes of a text.
func reading(text []byte, head bool) (*http1.Response, error) {
	c := http1.New(http1.Config{Dial: func(context.Context, string) (net.Conn, error) {
		return canned{Reader: bytes.NewReader(text)}, nil
	}})
	defer c.Close()
	return c.Do(context.Background(), &http1.Request{Head: head, Until: time.Now().Add(time.Minute)})
}
