package consul

import (
	"fmt"

	"github.com/hashicorp/consul/api"
)

// Client returns a client of Consul's API as New makes it: over the network of
// c, with a token file that is read again, and answers that are bounded. It is
// for what else Consul does; a Registry has its own. An error means that the
// configuration, or a file it names, is wrong.
func (c Config) Client() (*api.Client, error) {
	c = c.withDefaults()
	transport, err := c.transport()
	if err != nil {
		return nil, fmt.Errorf("configure consul client: %w", err)
	}
	client, err := c.client(transport)
	if err != nil {
		return nil, fmt.Errorf("configure consul client: %w", err)
	}
	return client, nil
}
