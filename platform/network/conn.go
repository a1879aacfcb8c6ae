package network

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// memoryConn is one end of a connection in memory.
type memoryConn struct {
	in, out       *stream
	local, remote address
	peer          *memoryConn

	mu       sync.Mutex
	closed   bool
	abrupt   bool     // Close resets the peer
	releases []func() // to be called when this end is closed
}

// An end is a host and its address in a connection.
type end struct {
	host *memoryHost
	at   address
}

// connect makes a connection and gives the end that dials. Where a host has
// crashed meanwhile, there is none.
func connect(m *Memory, from, to end) (*memoryConn, error) {
	size := m.Buffer
	if size <= 0 {
		size = DefaultBuffer
	}
	there, back := newStream(size), newStream(size)
	near := &memoryConn{in: back, out: there, local: from.at, remote: to.at}
	far := &memoryConn{in: there, out: back, local: to.at, remote: from.at}
	near.peer, far.peer = far, near
	near.onClose(func() { m.giveBack(from.at) })
	if err := near.ownedBy(from.host); err != nil {
		near.cut()
		return nil, err
	}
	if err := far.ownedBy(to.host); err != nil {
		near.cut()
		return nil, syscall.ECONNREFUSED
	}
	return near, nil
}

// ownedBy lets a crash of the host cut c.
func (c *memoryConn) ownedBy(h *memoryHost) error {
	forget, err := h.memory.hosts.own(h.name, h.incarnation, c.cut)
	if err == nil {
		c.onClose(forget)
	}
	return err
}

// onClose has f called when this end closes, at once if it has.
func (c *memoryConn) onClose(f func()) {
	c.mu.Lock()
	closed := c.closed
	if !closed {
		c.releases = append(c.releases, f)
	}
	c.mu.Unlock()
	if closed {
		f()
	}
}

func (c *memoryConn) LocalAddr() net.Addr  { return c.local }
func (c *memoryConn) RemoteAddr() net.Addr { return c.remote }

func (c *memoryConn) Read(b []byte) (int, error) {
	n, err := c.in.read(b)
	if errors.Is(err, io.EOF) {
		return n, err // io.Reader wants it bare
	}
	return n, c.error("read", err)
}

func (c *memoryConn) Write(b []byte) (int, error) {
	n, err := c.out.write(b)
	return n, c.error("write", err)
}

// SetLinger makes Close reset the peer, where sec is 0, and lose what the peer
// has not read. It is there because *net.TCPConn has it.
func (c *memoryConn) SetLinger(sec int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abrupt = sec == 0
	return nil
}

// Close lets the peer read what was written, then the end of the stream.
func (c *memoryConn) Close() error {
	c.mu.Lock()
	abrupt, closed := c.abrupt, c.closed
	c.mu.Unlock()
	if abrupt && !closed {
		c.cut()
		return nil
	}
	if !c.release() {
		return c.error("close", net.ErrClosed)
	}
	c.out.end(net.ErrClosed)
	c.in.abandon()
	return nil
}

// CloseWrite tells the peer that nothing more comes, and goes on reading. It is
// there because *net.TCPConn has it.
func (c *memoryConn) CloseWrite() error {
	c.out.end(syscall.EPIPE)
	return nil
}

// cut closes this end and resets the other. What was closed in order before
// arrives in order.
func (c *memoryConn) cut() {
	if !c.release() {
		return
	}
	c.out.breakOff(syscall.ECONNRESET, net.ErrClosed)
	c.in.breakOff(net.ErrClosed, syscall.ECONNRESET)
}

// release gives back what this end held, and reports whether it was open.
func (c *memoryConn) release() bool {
	c.mu.Lock()
	open, releases := !c.closed, c.releases
	c.closed, c.releases = true, nil
	c.mu.Unlock()
	for _, f := range releases {
		f()
	}
	return open
}

// SetDeadline sets when reads and writes give up.
func (c *memoryConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline sets when reads give up.
func (c *memoryConn) SetReadDeadline(t time.Time) error {
	return c.error("set", c.in.setReadDeadline(t))
}

// SetWriteDeadline sets when writes give up.
func (c *memoryConn) SetWriteDeadline(t time.Time) error {
	return c.error("set", c.out.setWriteDeadline(t))
}

func (c *memoryConn) error(op string, err error) error {
	if err == nil {
		return nil
	}
	return &net.OpError{Op: op, Net: c.local.Network(), Source: c.local, Addr: c.remote, Err: err}
}
