// Package network carries bytes between hosts.
//
// Every connection of the platform goes through a [Network], one value per
// host, so that the same program runs over TCP and in memory, and so that a
// fault can fall between one pair of hosts and spare another.
package network

import (
	"context"
	"net"
)

// A Network is what one host sees of the others. Its methods may be called
// from many goroutines. Every implementation passes the suite in networktest.
type Network interface {
	// Listen accepts connections on addr, a "host:port" or ":port" of this
	// host. Port 0 takes a free one; the listener's Addr tells which. A port
	// that is taken gives an error that wraps syscall.EADDRINUSE.
	Listen(ctx context.Context, addr string) (net.Listener, error)

	// Dial connects to a "host:port" that a peer advertises. It ends with ctx.
	// Where nobody listens it fails at once, with an error that wraps
	// syscall.ECONNREFUSED.
	Dial(ctx context.Context, addr string) (net.Conn, error)
}
