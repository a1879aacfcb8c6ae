package sim

import (
	"sync"
	"time"
)

// clocks are those of the hosts, which may be wrong. The zero value is right.
type clocks struct {
	mu   sync.Mutex
	skew map[string]time.Duration // by host
}

// of is the clock of a host.
func (c *clocks) of(host string) func() time.Time {
	return func() time.Time {
		c.mu.Lock()
		defer c.mu.Unlock()
		return time.Now().Add(c.skew[host])
	}
}

// turn moves the clock of a host by so much.
func (c *clocks) turn(host string, by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.skew == nil {
		c.skew = map[string]time.Duration{}
	}
	c.skew[host] += by
}
