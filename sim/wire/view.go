package wire

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"syscall"

	"example.com/app/platform/network"
)

// A view is the network as one incarnation of a host sees it.
type view struct {
	network     *Network
	name        string
	incarnation uint64
	inner       network.Network
}

// alive says why the host may use the network no more; nil: it may.
func (v *view) alive() error {
	v.network.mu.Lock()
	defer v.network.mu.Unlock()
	if h := v.network.host(v.name); h.down || h.incarnation != v.incarnation {
		return syscall.ENETDOWN
	}
	return nil
}

// Listen implements network.Network.
func (v *view) Listen(ctx context.Context, addr string) (net.Listener, error) {
	if err := v.alive(); err != nil {
		return nil, &net.OpError{Op: "listen", Net: "memory", Err: err}
	}
	inner, err := v.inner.Listen(ctx, addr)
	if err != nil {
		return nil, err
	}
	l := &listener{Listener: inner, view: v}
	n := v.network
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.host(v.name)
	h.listeners = append(h.listeners, l)
	return l, nil
}

// Dial implements network.Network.
func (v *view) Dial(ctx context.Context, addr string) (net.Conn, error) {
	fail := func(err error) error { return &net.OpError{Op: "dial", Net: "memory", Err: err} }
	to, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fail(err)
	}
	if ip := net.ParseIP(to); to == "" || to == "localhost" || ip.IsLoopback() || ip.IsUnspecified() {
		to = v.name
	}
	ctx, done, err := v.network.dialling(ctx, v)
	if err != nil {
		return nil, fail(err)
	}
	defer done()
	if err := v.network.syn(ctx, v.name, to); err != nil {
		return nil, fail(err)
	}
	if err := v.network.arrive(to); err != nil {
		return nil, fail(err)
	}
	inner, err := v.inner.Dial(ctx, addr)
	if err != nil {
		v.network.arrived(to)
		if down := given(ctx); errors.Is(down, syscall.ENETDOWN) {
			err = fail(down)
		}
		return nil, err
	}
	c, err := v.wrap(inner, false)
	if err != nil {
		return nil, fail(err)
	}
	return c, nil
}

// wrap makes an end of a connection one that can be spoilt.
func (v *view) wrap(inner net.Conn, accepted bool) (*conn, error) {
	remote, _, err := net.SplitHostPort(inner.RemoteAddr().String())
	if err != nil {
		remote = v.name
	}
	c := &conn{Conn: inner, network: v.network, local: v.name, remote: remote, incarnation: v.incarnation, accepted: accepted}
	c.out.conn = c
	c.out.room.L = &c.out.mu
	if err := v.network.enter(c); err != nil {
		c.breakOff()
		return nil, err
	}
	return c, nil
}

// A listener wraps what it accepts.
type listener struct {
	net.Listener
	view *view
	once sync.Once
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		inner, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c, err := l.view.wrap(inner, true)
		l.view.network.arrived(l.view.name)
		if err == nil {
			return c, nil
		} // it has crashed just now: the next Accept fails
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.once.Do(func() {
		n := l.view.network
		n.mu.Lock()
		defer n.mu.Unlock()
		h := n.host(l.view.name)
		h.listeners = slices.DeleteFunc(h.listeners, func(o *listener) bool { return o == l })
	})
	return l.Listener.Close()
}
