package http1

import "sync"

// A watch reads one byte ahead over an idle connection that cannot be looked
// into: one in memory. It is the first byte of the next answer, or the end.
type watch struct {
	on    bool // for the goroutine that has the connection
	first [1]byte
	n     int
	err   error
	ready chan struct{}

	mu      sync.Mutex
	claimed bool
	over    bool
}

// begin starts it. It ends with the next byte or with the connection, which it
// takes off the pool when nobody has claimed it.
func (w *watch) begin(c *conn) {
	ready := make(chan struct{})
	w.on, w.claimed, w.over, w.ready = true, false, false, ready
	go func() {
		w.n, w.err = c.net.Read(w.first[:])
		claimed := w.end()
		close(ready)
		if !claimed {
			c.client.pool.drop(c)
			c.close()
		}
	}()
}

// end notes that something has come, and reports whether it is an answer.
func (w *watch) end() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	return w.claimed
}

// claim reports whether nothing has come yet.
func (w *watch) claim() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.claimed = !w.over
	return w.claimed
}

// read waits for the byte.
func (w *watch) read(b []byte) (int, error) {
	<-w.ready
	w.on = false
	return copy(b, w.first[:w.n]), w.err
}
