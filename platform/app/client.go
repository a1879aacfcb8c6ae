package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"example.com/app/platform/rpc"
)

// clients are what one instance has dialled, by role.
type clients struct {
	cfg       rpc.ClientConfig // all but the role and its balancer
	balance   func(role string) Balance
	balancers *balancers

	credentials func(role string) credentials.TransportCredentials

	idle func() // closes connections to the issuer that nobody uses

	mu     sync.Mutex
	byRole map[string]*grpc.ClientConn
}

func (c *clients) dial(role string) (*grpc.ClientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if conn, ok := c.byRole[role]; ok {
		return conn, nil
	}
	cfg := c.cfg
	var err error
	if cfg.Balancer, err = c.balancers.of(role); err != nil {
		return nil, err
	}
	cfg.Role, cfg.HashHeader, cfg.Credentials = role, c.balance(role).Header, c.credentials(role)
	conn, err := rpc.Dial(cfg) // does not wait: it connects at the first call
	if err != nil {
		return nil, err
	}
	if c.byRole == nil {
		c.byRole = make(map[string]*grpc.ClientConn)
	}
	c.byRole[role] = conn
	return conn, nil
}

// roles lists what was dialled, sorted.
func (c *clients) roles() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]string, 0, len(c.byRole))
	for role := range c.byRole {
		out = append(out, role)
	}
	slices.Sort(out)
	return out
}

// ready waits until an instance of every dialled role has been reached. Its
// error names the first that was not.
func (c *clients) ready(ctx context.Context) error {
	for _, role := range c.roles() {
		conn, err := c.dial(role)
		if err != nil {
			return err
		}
		conn.Connect()
	}
	for _, role := range c.roles() {
		conn, err := c.dial(role)
		if err != nil {
			return err
		}
		if err := rpc.WaitReady(ctx, conn); err != nil {
			return fmt.Errorf("wait for %s: %w", role, err)
		}
	}
	return nil
}

// close ends every client. A later dial makes a new one.
func (c *clients) close() error {
	c.mu.Lock()
	conns := c.byRole
	c.byRole = nil
	c.mu.Unlock()
	var all error
	for _, conn := range conns { // outside the lock: closing waits for what the client started
		all = errors.Join(all, conn.Close())
	}
	c.balancers.close()
	c.idle()
	return all
}
