package network

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
)

// memoryListener hands connections from Dial to Accept. Nothing queues up in
// between: what nobody has accepted, closing the listener refuses.
type memoryListener struct {
	host   *memoryHost
	at     address
	offers chan *memoryConn
	done   chan struct{} // closed when the listener ends
	once   sync.Once
	forget func()
}

func newMemoryListener(h *memoryHost) *memoryListener {
	return &memoryListener{host: h, offers: make(chan *memoryConn), done: make(chan struct{}), forget: func() {}}
}

// offer waits until c is accepted, refused, or ctx ends.
func (l *memoryListener) offer(ctx context.Context, c *memoryConn) error {
	select {
	case <-l.done: // select picks at random: an ended listener must not win an Accept
		return syscall.ECONNREFUSED
	default:
	}
	select {
	case l.offers <- c:
		return nil
	case <-l.done:
		return syscall.ECONNREFUSED
	case <-ctx.Done():
		if errors.Is(context.Cause(ctx), syscall.ENETDOWN) {
			return syscall.ENETDOWN // the dialling host crashed
		}
		return ctx.Err()
	}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, l.error("accept", net.ErrClosed)
	default:
	}
	select {
	case c := <-l.offers:
		return c, nil
	case <-l.done:
		return nil, l.error("accept", net.ErrClosed)
	}
}

// Close refuses new connections. Accepted ones live on.
func (l *memoryListener) Close() error {
	select {
	case <-l.done:
		return l.error("close", net.ErrClosed)
	default:
	}
	l.forget()
	l.end()
	return nil
}

func (l *memoryListener) Addr() net.Addr { return l.at }

// end leaves the network. It may be called more than once.
func (l *memoryListener) end() {
	l.once.Do(func() {
		m := l.host.memory
		m.mu.Lock()
		delete(m.listeners, l.at)
		m.mu.Unlock()
		close(l.done)
	})
}

func (l *memoryListener) error(op string, err error) error {
	return &net.OpError{Op: op, Net: l.at.Network(), Addr: l.at, Err: err}
}
