package http1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

// A conn is a connection, and the exchange that runs over it.
type conn struct {
	net    net.Conn
	client *Client
	addr   string
	raw    syscall.RawConn // to look whether it is quiet; nil: it is watched
	used   bool            // for an exchange before this one
	since  time.Time       // idle

	res    Response
	alarm  *Alarm
	abort  func()      // a method value, made once
	leave  func() bool // takes abort off the context
	buffer *[]byte
	buf    []byte // the buffer, or a larger one
	r, w   int    // what has been read and not been used is buf[r:w]
	heard  bool   // a byte of the answer has come

	watch watch
}

func newConn(c *Client, addr string, nc net.Conn) *conn {
	k := &conn{net: nc, client: c, addr: addr}
	k.abort = k.close
	k.alarm = NewAlarm(k.abort)
	k.res = Response{Header: make(http.Header, 8), conn: k}
	if sc, ok := nc.(syscall.Conn); ok && canPeek {
		if raw, err := sc.SyscallConn(); err == nil {
			k.raw = raw
		}
	}
	return k
}

func (c *conn) close() { _ = c.net.Close() }

// exchange sends a request and reads the head of the answer.
func (c *conn) exchange(ctx context.Context, r *Request) error {
	left := time.Until(r.Until)
	if left <= 0 {
		return ErrTimeout
	}
	c.buffer = c.client.buffers.Get().(*[]byte)
	c.buf, c.r, c.w, c.heard = *c.buffer, 0, 0, false
	c.leave = context.AfterFunc(ctx, c.abort)
	c.alarm.Set(left)
	// A backend may answer and hang up without reading all: the answer counts.
	_, sent := c.net.Write(r.Text)
	err := c.readAnswer(r)
	if !c.alarm.Stop() {
		return ErrTimeout
	}
	if sent != nil {
		c.res.keep = false
		if err != nil {
			err = sent
		}
	}
	if err != nil && c.used && !c.heard {
		return fmt.Errorf("%w: %w", ErrUnanswered, err)
	}
	return err
}

// readAnswer reads heads until that of the answer proper.
func (c *conn) readAnswer(r *Request) error {
	for room := c.client.cfg.MaxHeaderBytes; ; {
		head, err := c.readHead(room)
		if err != nil {
			return err
		}
		if err := c.res.parse(head, r.Head); err != nil {
			return err
		}
		if c.res.Status >= 200 {
			return nil
		}
		if c.res.Status == http.StatusSwitchingProtocols {
			return malformed("it switches protocols, unasked")
		}
		room -= len(head)
		if r.Inform != nil {
			r.Inform(c.res.Status, c.res.Header)
		}
	}
}

// readHead reads a head of at most room bytes, with the empty line at its end.
func (c *conn) readHead(room int) (string, error) {
	for seen := c.r; ; {
		if end := headEnd(c.buf[seen:c.w]); end >= 0 {
			head := c.buf[c.r : seen+end]
			if len(head) > room {
				return "", errHeadTooLarge
			}
			c.r += len(head)
			return string(head), nil
		}
		if c.w-c.r >= room {
			return "", errHeadTooLarge
		}
		if err := checkLines(c.buf[c.r:c.w]); err != nil {
			return "", err
		}
		seen = max(c.w-3, c.r)
		moved, err := c.more()
		seen -= moved
		if err != nil {
			return "", unexpected(err)
		}
	}
}

// more reads on behind what is there, and tells by how much that was moved.
func (c *conn) more() (moved int, err error) {
	if c.r > 0 && (c.r == c.w || c.w == len(c.buf)) {
		moved = c.r
		copy(c.buf, c.buf[c.r:c.w])
		c.r, c.w = 0, c.w-c.r
	}
	if c.w == len(c.buf) {
		c.buf = append(c.buf, make([]byte, len(c.buf))...)
	}
	var n int
	if c.watch.on {
		n, err = c.watch.read(c.buf[c.w:])
	} else {
		n, err = c.net.Read(c.buf[c.w:])
	}
	c.w += n
	if n > 0 {
		c.heard, err = true, nil // an error comes again
	} else if err == nil {
		err = io.ErrNoProgress
	}
	return moved, err
}

// explain tells why an exchange failed: the context knows better than the
// connection, which it closed.
func (c *conn) explain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// release ends an exchange. The connection is kept if the answer ended well.
func (c *conn) release() {
	clean := c.res.ended && c.res.keep && c.r == c.w
	alive := c.leave()
	if !c.alarm.Stop() || !alive || !clean {
		c.end()
		return
	}
	c.giveBuffer()
	c.used = true
	if c.raw == nil {
		c.watch.begin(c)
	}
	if !c.client.pool.put(c) {
		c.close()
	}
}

// end gives a connection up.
func (c *conn) end() {
	c.alarm.Stop()
	if c.leave != nil {
		c.leave()
	}
	c.close()
	c.giveBuffer()
}

func (c *conn) giveBuffer() {
	if c.buffer != nil {
		c.client.buffers.Put(c.buffer)
	}
	c.buffer, c.buf = nil, nil
}

// claim takes an idle connection into use. False means that something has come
// over it meanwhile, or its end.
func (c *conn) claim() bool {
	if c.raw != nil {
		return quiet(c.raw)
	}
	return c.watch.claim()
}

// unexpected is an end where none may be.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
