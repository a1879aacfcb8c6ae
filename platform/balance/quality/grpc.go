package quality

import (
	"context"
	"encoding/json"
	"fmt"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/leastrequest"
	"google.golang.org/grpc/balancer/roundrobin"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/experimental/stats"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
	"google.golang.org/grpc/status"

	"example.com/app/platform/balance"
)

// A GRPC is a policy of grpc-go, as a service config names and configures it.
type GRPC struct {
	Name   string
	Config string // JSON; empty means {}
	// Server makes of a report what the policy takes for the server's; nil: it
	// looks at none.
	Server func(Report) any
}

// Maker makes entrants of it. They have no seed: grpc-go rolls its own dice.
func (g GRPC) Maker(name string) Maker {
	return Maker{Name: name, New: func(Ground) Entrant {
		builder := balancer.Get(g.Name)
		if builder == nil {
			panic(fmt.Sprintf("quality: grpc-go has no policy %q", g.Name)) // a slip in a program, not an input
		}
		e := &theirs{server: g.Server}
		if parser, ok := builder.(balancer.ConfigParser); ok {
			text := g.Config
			if text == "" {
				text = "{}"
			}
			config, err := parser.ParseConfig(json.RawMessage(text))
			if err != nil {
				panic(fmt.Sprintf("quality: %s: %v", g.Name, err))
			}
			e.config = config
		}
		e.balancer = builder.Build(&clientConn{entrant: e}, balancer.BuildOptions{})
		return e
	}}
}

// Theirs are the policies of grpc-go that need no clock.
func Theirs() []Maker {
	return []Maker{
		GRPC{Name: roundrobin.Name}.Maker("grpc-go round_robin"),
		GRPC{Name: leastrequest.Name}.Maker("grpc-go least_request 2"),
		GRPC{Name: leastrequest.Name, Config: `{"choiceCount": 10}`}.Maker("grpc-go least_request 10"),
	}
}

// theirs is a channel without connections: a balancer of grpc-go, and the
// newest of its pickers.
type theirs struct {
	balancer balancer.Balancer
	config   serviceconfig.LoadBalancingConfig
	picker   balancer.Picker
	server   func(Report) any
	events   []func() // of connections; a balancer hears them after its own call has returned
}

func (e *theirs) Update(set []Instance) {
	var state resolver.State
	for _, in := range set {
		address := resolver.Address{Addr: fmt.Sprint(in.Number)}
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{address}})
	}
	if err := e.balancer.UpdateClientConnState(balancer.ClientConnState{ResolverState: state, BalancerConfig: e.config}); err != nil {
		panic(fmt.Sprintf("quality: %v", err))
	}
	for len(e.events) > 0 {
		event := e.events[0]
		e.events = e.events[1:]
		event()
	}
}

func (e *theirs) Pick() (int, func(balance.Outcome, Report)) {
	result, err := e.picker.Pick(balancer.PickInfo{Ctx: context.Background()})
	if err != nil {
		return -1, nil
	}
	return result.SubConn.(*subConn).number, func(o balance.Outcome, r Report) {
		if result.Done == nil {
			return
		}
		info := balancer.DoneInfo{Err: Failure(o), BytesSent: true, BytesReceived: true}
		if e.server != nil && o != balance.Unreachable {
			info.ServerLoad = e.server(r)
		}
		result.Done(info)
	}
}

// Failure is the error of a call that ended so, as gRPC has it.
func Failure(o balance.Outcome) error {
	switch o {
	case balance.OK:
		return nil
	case balance.GivenUp:
		return context.DeadlineExceeded
	}
	return status.Error(codes.Unavailable, "the instance is bad")
}

// Close ends what the balancer keeps running.
func (e *theirs) Close() { e.balancer.Close() }

// A clientConn is what a balancer sees of its channel, as far as these look.
type clientConn struct {
	balancer.ClientConn
	entrant *theirs
}

func (c *clientConn) NewSubConn(to []resolver.Address, o balancer.NewSubConnOptions) (balancer.SubConn, error) {
	sc := &subConn{entrant: c.entrant, listener: o.StateListener}
	_, err := fmt.Sscan(to[0].Addr, &sc.number)
	return sc, err
}

func (c *clientConn) UpdateState(s balancer.State) { c.entrant.picker = s.Picker }

func (c *clientConn) MetricsRecorder() stats.MetricsRecorder { return unrecorded{} }

type unrecorded struct {
	stats.UnimplementedMetricsRecorder
}

// A subConn is a connection that is made at once and is always well: whether
// the instance is, calls tell.
type subConn struct {
	balancer.SubConn
	entrant  *theirs
	number   int
	listener func(balancer.SubConnState)
}

func (s *subConn) Connect() {
	for _, state := range []connectivity.State{connectivity.Connecting, connectivity.Ready} {
		s.later(s.listener, state)
	}
}

func (s *subConn) Shutdown() { s.later(s.listener, connectivity.Shutdown) }

func (s *subConn) RegisterHealthListener(hear func(balancer.SubConnState)) {
	s.later(hear, connectivity.Ready)
}

func (s *subConn) later(hear func(balancer.SubConnState), state connectivity.State) {
	s.entrant.events = append(s.entrant.events, func() { hear(balancer.SubConnState{ConnectivityState: state}) })
}
