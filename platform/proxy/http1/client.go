// Package http1 is the HTTP/1.1 client of a proxy.
//
// One goroutine does it all: it writes the request, reads the head of the
// answer and hands on the body, piece by piece, out of the buffer it was read
// into. http.Transport has two more goroutines for each connection, since it
// must send and receive at once; handing over to them and back is a third of
// what a small request costs. So a request here is one text, written whole
// before the answer is read, and what needs more is for http.Transport.
//
// It reads strictly: what two readers could take for two things is refused. A
// connection is used again only after an answer that ended where it said it
// would, with nothing behind it.
package http1

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// What may go wrong, besides a dial and the end of the context.
var (
	// ErrTimeout means that the backend took too long.
	ErrTimeout = errors.New("the backend took too long")
	// ErrUnanswered means that a connection that had been used before ended
	// without a byte of an answer: most often the backend had closed it already.
	// It may have seen the request all the same.
	ErrUnanswered = errors.New("a used connection ended without an answer")
	// ErrMalformed is an answer that is not HTTP/1 as it should be.
	ErrMalformed = errors.New("malformed answer")
)

// A Config is what a Client stands on. Dial is needed; the zero value of
// everything else is its default.
type Config struct {
	Dial func(ctx context.Context, addr string) (net.Conn, error)

	IdleConnsPerHost int           // kept open to one address; 0 means 64
	IdleTimeout      time.Duration // of a connection nobody uses; 0 means 30 s
	MaxHeaderBytes   int           // of an answer, informational ones included, and of its trailers; 0 means 64 KiB
}

// A Client sends requests over connections that it keeps. Its methods may be
// called from many goroutines. Close ends the connections nobody uses.
type Client struct {
	cfg     Config
	pool    pool
	buffers sync.Pool // of *[]byte, bufferSize long
}

const bufferSize = 32 << 10

// New returns a client without connections.
func New(cfg Config) *Client {
	cfg.IdleConnsPerHost = cmp.Or(cfg.IdleConnsPerHost, 64)
	cfg.IdleTimeout = cmp.Or(cfg.IdleTimeout, 30*time.Second)
	cfg.MaxHeaderBytes = cmp.Or(cfg.MaxHeaderBytes, 64<<10)
	c := &Client{cfg: cfg}
	c.pool = pool{most: cfg.IdleConnsPerHost, timeout: cfg.IdleTimeout, idle: make(map[string][]*conn)}
	c.buffers.New = func() any { b := make([]byte, bufferSize); return &b }
	return c
}

// A Request is what is sent, and where to.
type Request struct {
	Addr  string
	Text  []byte    // as it is sent: head and body
	Head  bool      // the method is HEAD: the answer has no body
	Fresh bool      // not over a connection that was used before
	Until time.Time // when the answer must have begun

	// Inform is told of informational answers, which come before the answer. The
	// header is its own only while it runs. Nil: they are skipped.
	Inform func(status int, header http.Header)
}

// Do sends a request and returns the answer when its head has come. The answer
// must be closed. It ends early with ctx, which also ends an answer that is
// being read.
func (c *Client) Do(ctx context.Context, r *Request) (*Response, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	conn, err := c.connect(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := conn.exchange(ctx, r); err != nil {
		err = conn.explain(ctx, err)
		conn.end()
		return nil, err
	}
	return &conn.res, nil
}

// connect takes an idle connection, or opens one.
func (c *Client) connect(ctx context.Context, r *Request) (*conn, error) {
	if !r.Fresh {
		if conn := c.pool.take(r.Addr); conn != nil {
			return conn, nil
		}
	}
	if time.Until(r.Until) <= 0 {
		return nil, ErrTimeout
	}
	ctx, cancel := context.WithDeadlineCause(ctx, r.Until, ErrTimeout)
	defer cancel()
	nc, err := c.cfg.Dial(ctx, r.Addr)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		return nil, err
	}
	return newConn(c, r.Addr, nc), nil
}

// Close ends the connections that nobody uses, and keeps none from now on.
func (c *Client) Close() { c.pool.close() }
