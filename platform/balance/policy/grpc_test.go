package policy_test

import (
	"fmt"
	"testing"

	"google.golang.org/grpc/balancer"
	_ "google.golang.org/grpc/balancer/leastrequest"
	_ "google.golang.org/grpc/balancer/roundrobin"
	_ "google.golang.org/grpc/balancer/weightedroundrobin"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/experimental/stats"
	"google.golang.org/grpc/resolver"

	"github.com/stretchr/testify/require"
)

// A channel is what a balancer of gRPC sees of its own: as much of it as gives
// a picker whose connections are all up.
type channel struct {
	balancer.ClientConn
	picker balancer.Picker
	due    []func() // changes of state: a balancer must not hear of one while it asks for it
}

func (c *channel) NewSubConn(_ []resolver.Address, o balancer.NewSubConnOptions) (balancer.SubConn, error) {
	return &conn{channel: c, listen: o.StateListener}, nil
}

func (c *channel) UpdateState(s balancer.State)         { c.picker = s.Picker }
func (*channel) ResolveNow(resolver.ResolveNowOptions)  {}
func (*channel) Target() string                         { return "test" }
func (*channel) MetricsRecorder() stats.MetricsRecorder { return stats.UnimplementedMetricsRecorder{} }

type conn struct {
	balancer.SubConn
	channel *channel
	listen  func(balancer.SubConnState)
}

func (c *conn) Connect() { c.is(c.listen, connectivity.Connecting, connectivity.Ready) }

func (c *conn) RegisterHealthListener(listen func(balancer.SubConnState)) {
	c.is(listen, connectivity.Ready)
}

func (*conn) Shutdown() {}

func (c *conn) is(listen func(balancer.SubConnState), states ...connectivity.State) {
	for _, s := range states {
		c.channel.due = append(c.channel.due, func() { listen(balancer.SubConnState{ConnectivityState: s}) })
	}
}

// grpcPicker is the picker of one of gRPC's own policies.
func grpcPicker(t testing.TB, name string, n int) balancer.Picker {
	build := balancer.Get(name)
	require.NotNil(t, build, name)
	c := new(channel)
	b := build.Build(c, balancer.BuildOptions{})
	t.Cleanup(b.Close)
	var state balancer.ClientConnState
	if p, ok := build.(balancer.ConfigParser); ok {
		config, err := p.ParseConfig([]byte("{}"))
		require.NoError(t, err)
		state.BalancerConfig = config
	}
	for i := range n {
		addr := resolver.Address{Addr: fmt.Sprintf("host-%d:1", i)}
		state.ResolverState.Endpoints = append(state.ResolverState.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{addr}})
	}
	require.NoError(t, b.UpdateClientConnState(state))
	for len(c.due) > 0 {
		next := c.due[0]
		c.due = c.due[1:]
		next()
	}
	return c.picker
}

func grpcNames() []string {
	return []string{"round_robin", "weighted_round_robin", "least_request_experimental"}
}

func TestGRPCsOwnPickersPickAmongAll(t *testing.T) {
	for _, name := range grpcNames() {
		p, seen := grpcPicker(t, name, 3), make(map[balancer.SubConn]bool)
		for range 100 {
			r, err := p.Pick(balancer.PickInfo{})
			require.NoError(t, err, name)
			seen[r.SubConn] = true
			if r.Done != nil {
				r.Done(balancer.DoneInfo{})
			}
		}
		require.Len(t, seen, 3, name)
	}
}
