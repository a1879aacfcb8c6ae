package proxy

import (
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"syscall"
)

// lines are the connections of a proxy and the attempts at one, so that all
// can be ended. The zero value is ready.
type lines struct {
	mu     sync.Mutex
	closed bool
	last   int
	ends   map[int]func() // what ends each, in the order they came
}

// add enters what end ends, and returns what takes it off again. It is false
// when all has ended already.
func (l *lines) add(end func()) (remove func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, false
	}
	if l.ends == nil {
		l.ends = make(map[int]func())
	}
	l.last++
	n := l.last
	l.ends[n] = end
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.ends, n)
	}, true
}

// keep enters a connection, which leaves when it is closed.
func (l *lines) keep(c net.Conn) (net.Conn, error) {
	remove, ok := l.add(func() { _ = c.Close() })
	if !ok {
		_ = c.Close()
		return nil, errClosed
	}
	return &line{c, remove}, nil
}

// close ends all there is and lets nothing in any more.
func (l *lines) close() {
	l.mu.Lock()
	ends := l.ends
	l.ends, l.closed = nil, true
	l.mu.Unlock()
	for _, n := range slices.Sorted(maps.Keys(ends)) {
		ends[n]()
	}
}

// A line is a connection that is entered in lines.
type line struct {
	net.Conn
	remove func()
}

// Close closes the connection and takes it off.
func (c *line) Close() error {
	c.remove()
	return c.Conn.Close()
}

// SyscallConn lets http1 look whether a connection is quiet.
func (c *line) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
