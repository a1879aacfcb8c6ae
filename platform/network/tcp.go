package network

import (
	"context"
	"net"
	"time"
)

// keepAlive is how long a TCP connection may be silent before the kernel asks
// whether the peer is still there.
const keepAlive = 15 * time.Second

// TCP is the network of the operating system. The zero value is ready, and is
// itself the [Network] of a process that is one host. Host gives views for
// tests that play several hosts in one process. It must not be copied after
// first use; its methods may be called from many goroutines.
type TCP struct{ hosts hosts }

// Listen accepts connections on addr.
func (*TCP) Listen(ctx context.Context, addr string) (net.Listener, error) {
	return (&net.ListenConfig{KeepAlive: keepAlive}).Listen(ctx, "tcp", addr)
}

// Dial connects to addr.
func (*TCP) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return (&net.Dialer{KeepAlive: keepAlive}).DialContext(ctx, "tcp", addr)
}

// Host is a view that a crash of the named host cuts. The name is no address:
// all such hosts share the ports of this machine.
func (t *TCP) Host(name string) Network {
	return &tcpHost{tcp: t, name: name, incarnation: t.hosts.incarnation(name)}
}

// Crash closes the host's listeners and resets its connections, at once. Its
// views no longer listen nor dial.
func (t *TCP) Crash(host string) { t.hosts.crash(host) }

// Restore brings a crashed host back. Views made since the crash work; those
// made before it never will.
func (t *TCP) Restore(host string) { t.hosts.restore(host) }

// tcpHost is TCP as one incarnation of a host sees it.
type tcpHost struct {
	tcp         *TCP
	name        string
	incarnation uint64
}

func (h *tcpHost) Listen(ctx context.Context, addr string) (net.Listener, error) {
	l, err := h.tcp.Listen(ctx, addr)
	if err != nil {
		return nil, err
	}
	forget, err := h.tcp.hosts.own(h.name, h.incarnation, func() { _ = l.Close() })
	if err != nil {
		_ = l.Close()
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: l.Addr(), Err: err}
	}
	return &tcpListener{Listener: l, host: h, forget: forget}, nil
}

func (h *tcpHost) Dial(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	forget, err := h.tcp.hosts.own(h.name, h.incarnation, cancel)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	defer forget()
	c, err := h.tcp.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	return h.own(c, "dial")
}

// own lets a crash of the host reset c.
func (h *tcpHost) own(c net.Conn, op string) (net.Conn, error) {
	tc := c.(*net.TCPConn)
	reset := func() {
		_ = tc.SetLinger(0) // without it the peer would see a tidy end of stream
		_ = tc.Close()
	}
	forget, err := h.tcp.hosts.own(h.name, h.incarnation, reset)
	if err != nil {
		reset()
		return nil, &net.OpError{Op: op, Net: "tcp", Addr: c.RemoteAddr(), Err: err}
	}
	return &tcpConn{TCPConn: tc, forget: forget}, nil
}

type tcpListener struct {
	net.Listener
	host   *tcpHost
	forget func()
}

func (l *tcpListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.host.own(c, "accept")
}

func (l *tcpListener) Close() error {
	l.forget()
	return l.Listener.Close()
}

// tcpConn embeds all of TCPConn, so that sendfile and half close still work.
type tcpConn struct {
	*net.TCPConn
	forget func()
}

func (c *tcpConn) Close() error {
	c.forget()
	return c.TCPConn.Close()
}
