package rpc

import (
	"net"
	"sync"
	"sync/atomic"
)

// A lobby is a listener that knows the connections on which nothing has
// arrived yet. A stop closes them: nobody has asked for anything there, and
// gRPC would wait for each as long as a handshake may take.
type lobby struct {
	net.Listener

	mu     sync.Mutex
	guests map[*guest]struct{}
}

// Accept waits for a connection, which is a guest until it speaks.
func (l *lobby) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g := &guest{Conn: c, lobby: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.guests == nil {
		l.guests = make(map[*guest]struct{})
	}
	l.guests[g] = struct{}{}
	return g, nil
}

// leave forgets a guest.
func (l *lobby) leave(g *guest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.guests, g)
}

// clear closes the connections of all guests.
func (l *lobby) clear() {
	l.mu.Lock()
	guests := l.guests
	l.guests = nil
	l.mu.Unlock()
	for g := range guests {
		_ = g.Conn.Close() // it said nothing, and is told nothing
	}
}

// A guest is a connection that may not have spoken yet.
type guest struct {
	net.Conn
	lobby *lobby
	known atomic.Bool // it has spoken, or is closed
}

// Read is the connection's; the first byte makes the guest known.
func (g *guest) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	if !g.known.Load() && n > 0 {
		g.leave()
	}
	return n, err
}

// Close closes the connection.
func (g *guest) Close() error {
	g.leave()
	return g.Conn.Close()
}

func (g *guest) leave() {
	if !g.known.Swap(true) {
		g.lobby.leave(g)
	}
}
