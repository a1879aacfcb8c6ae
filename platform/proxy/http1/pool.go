package http1

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// A pool is the connections that nobody uses, by address.
type pool struct {
	most    int
	timeout time.Duration

	mu     sync.Mutex
	closed bool
	idle   map[string][]*conn // the one used last is last, and is used next
	sweep  *time.Timer        // nil: nothing is idle
}

// take returns a connection that is still quiet, or nil.
func (p *pool) take(addr string) *conn {
	for {
		c := p.pop(addr)
		if c == nil {
			return nil
		}
		if time.Since(c.since) < p.timeout && c.claim() {
			return c
		}
		c.close()
	}
}

func (p *pool) pop(addr string) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[addr]
	if len(list) == 0 {
		return nil
	}
	c := list[len(list)-1]
	list[len(list)-1] = nil
	p.idle[addr] = list[:len(list)-1]
	return c
}

// put keeps a connection. It is false where there is no place for it.
func (p *pool) put(c *conn) bool {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle[c.addr]) >= p.most {
		return false
	}
	c.since = now
	p.idle[c.addr] = append(p.idle[c.addr], c)
	if p.sweep == nil {
		p.sweep = time.AfterFunc(p.timeout, p.clean)
	}
	return true
}

// drop takes off a connection that has ended by itself.
func (p *pool) drop(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.idle[c.addr], c); i >= 0 {
		p.idle[c.addr] = slices.Delete(p.idle[c.addr], i, i+1)
	}
}

// clean ends the connections that were idle for too long.
func (p *pool) clean() {
	now := time.Now()
	var old []*conn
	p.mu.Lock()
	for _, addr := range slices.Sorted(maps.Keys(p.idle)) {
		list := p.idle[addr]
		n := 0
		for n < len(list) && now.Sub(list[n].since) >= p.timeout {
			n++
		}
		old = append(old, list[:n]...)
		if p.idle[addr] = slices.Delete(list, 0, n); n == len(list) {
			delete(p.idle, addr)
		}
	}
	p.sweep = nil
	if len(p.idle) > 0 && !p.closed {
		p.sweep = time.AfterFunc(p.timeout, p.clean)
	}
	p.mu.Unlock()
	for _, c := range old {
		c.close()
	}
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = make(map[string][]*conn)
	if p.sweep != nil {
		p.sweep.Stop()
	}
	p.mu.Unlock()
	for _, addr := range slices.Sorted(maps.Keys(idle)) {
		for _, c := range idle[addr] {
			c.close()
		}
	}
}
