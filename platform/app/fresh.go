package app

import (
	"net"
	"net/http"
	"sync"
)

// fresh is the connections of an HTTP server on which nothing has arrived yet.
// Browsers and balancers open some in advance, and http.Server.Shutdown would
// wait five seconds for each. The zero value is ready.
type fresh struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// note is the server's ConnState hook.
func (f *fresh) note(c net.Conn, state http.ConnState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if state != http.StateNew {
		delete(f.conns, c)
		return
	}
	if f.conns == nil {
		f.conns = make(map[net.Conn]struct{})
	}
	f.conns[c] = struct{}{}
}

// close closes them.
func (f *fresh) close() {
	f.mu.Lock()
	conns := f.conns
	f.conns = nil
	f.mu.Unlock()
	for c := range conns {
		_ = c.Close() // nobody has asked for anything on it
	}
}
