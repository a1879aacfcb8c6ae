package wire

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A conn is one end of a connection. What it writes goes over its lane; what it
// reads has come over its peer's.
type conn struct {
	net.Conn // of network.Memory
	network  *Network
	out      lane

	local, remote   string // hosts
	incarnation     uint64 // of local
	peerIncarnation uint64 // of remote, when the connection was made
	accepted        bool
	road            *road // from local to remote
	peer            *host // remote
	serial          uint64

	dead atomic.Bool // its owner has closed it, or is gone
	mu   sync.Mutex
	why  error // what reads and writes say once it is dead
}

func (c *conn) isDead() bool { return c.dead.Load() }

// longAgo is a deadline that has passed.
func longAgo() time.Time { return time.Unix(1, 0) }

// kill makes reads and writes end with an error, and says whether they did not
// before.
func (c *conn) kill(why error) bool {
	c.mu.Lock()
	first := c.why == nil
	if first {
		c.why = why
	}
	c.mu.Unlock()
	c.dead.Store(true)
	_ = c.Conn.SetReadDeadline(longAgo()) // fails only where it is closed
	c.out.wake()
	return first
}

// die is what happens to an end whose host is gone. Its peer knows nothing yet.
func (c *conn) die() {
	c.kill(net.ErrClosed)
	c.out.drop(net.ErrClosed)
}

// abort ends the connection, and resets its peer.
func (c *conn) abort(why error) {
	c.kill(why)
	c.out.drop(why)
	c.breakOff()
	c.network.forget(c)
}

// breakOff closes the connection underneath so that the peer sees a reset.
func (c *conn) breakOff() {
	if l, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		_ = l.SetLinger(0)
	}
	_ = c.Conn.Close() // it may be closed already
}

// fault is why the end can't be used; nil: it can.
func (c *conn) fault() error {
	if !c.isDead() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why
}

func (c *conn) error(op string, err error) error {
	return &net.OpError{Op: op, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	if err := c.fault(); err != nil {
		return 0, c.error("read", err)
	}
	n, err := c.Conn.Read(b)
	if err != nil {
		if why := c.fault(); why != nil {
			return n, c.error("read", why)
		}
		if errors.Is(err, syscall.ECONNRESET) {
			c.out.drop(syscall.ECONNRESET) // what is on its way meets nobody
		}
	}
	return n, err
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	n, err := c.out.write(b)
	if err != nil {
		if why := c.fault(); why != nil {
			err = why
		}
		return n, c.error("write", err)
	}
	return n, nil
}

// Close lets the peer read what was written, then the end of the stream.
func (c *conn) Close() error {
	if !c.kill(net.ErrClosed) {
		if c.fault() == net.ErrClosed { //nolint:errorlint // it is ours, as it is
			return c.error("close", net.ErrClosed)
		}
		return nil // it was reset: there is nothing left to close
	}
	c.out.end(closing)
	return nil
}

// CloseWrite tells the peer that nothing more comes, and goes on reading.
func (c *conn) CloseWrite() error {
	if err := c.fault(); err != nil {
		return c.error("close", err)
	}
	c.out.end(halfClosing)
	return nil
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why != nil {
		return c.error("set", c.why)
	}
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	if err := c.fault(); err != nil {
		return c.error("set", err)
	}
	c.out.deadline(t)
	return nil
}

// cause is the bare reason of an error of the connection underneath.
func cause(err error) error {
	for _, known := range []error{net.ErrClosed, syscall.EPIPE, syscall.ECONNRESET} {
		if errors.Is(err, known) {
			return known
		}
	}
	return nil
}
