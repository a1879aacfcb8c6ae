package rpc

import (
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/endpointsharding"
	"google.golang.org/grpc/balancer/pickfirst"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"example.com/app/platform/balance"
	"example.com/app/platform/registry"
)

// policyName is what stands in a client's service config.
const policyName = "app_balance"

// gRPC finds balancers by name only, in a table of the process that may be
// written while the program initialises and never later. So one name is in it;
// what it builds balances with whatever the client's own resolver hands over,
// and knows nothing by itself.
var _ = registered()

func registered() bool {
	balancer.Register(carriers{})
	return true
}

type carriers struct{}

func (carriers) Name() string { return policyName }

// Build makes what carries one client's calls. Like gRPC's round robin it
// leaves the connections, and client-side health checks, to a pick_first for
// each endpoint.
func (carriers) Build(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	c := &carrier{ClientConn: cc}
	c.Balancer = endpointsharding.NewBalancer(c, opts, balancer.Get(pickfirst.Name).Build, endpointsharding.Options{})
	return c
}

// A carrier tells a balance.Balancer which instances are connected and well,
// and gives gRPC's calls to whom it picks.
type carrier struct {
	balancer.Balancer   // the connections
	balancer.ClientConn // gRPC, as they see it: UpdateState comes by here

	mu      sync.Mutex
	sharing *sharing
}

// A sharing is what a client's calls are shared by. The client's resolver hands
// it over with each set of endpoints.
type sharing struct {
	balancer *balance.Balancer
	failures []codes.Code // that speak against the instance
	flights  sync.Pool    // of *flight, lest each pick make one
}

type (
	sharingKey  struct{} // in the attributes of a resolver's state
	instanceKey struct{} // in the attributes of an endpoint
)

// UpdateClientConnState takes over a set of endpoints.
func (c *carrier) UpdateClientConnState(s balancer.ClientConnState) error {
	if share, ok := s.ResolverState.Attributes.Value(sharingKey{}).(*sharing); ok {
		c.mu.Lock()
		c.sharing = share
		c.mu.Unlock()
	}
	s.ResolverState = pickfirst.EnableHealthListener(s.ResolverState)
	return c.Balancer.UpdateClientConnState(s)
}

// Close leaves a balancer that outlives the client without instances: they
// can't be reached by a client that is closed.
func (c *carrier) Close() {
	c.Balancer.Close()
	if share := c.share(); share != nil {
		share.balancer.Update(nil, 0)
	}
}

func (c *carrier) share() *sharing {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sharing
}

// UpdateState hears how the connections are. While none is ready the picker is
// endpointsharding's own: it waits, or tells why the connections fail.
func (c *carrier) UpdateState(s balancer.State) {
	share := c.share()
	if share == nil {
		c.ClientConn.UpdateState(s)
		return
	}
	children := endpointsharding.ChildStatesFromPicker(s.Picker)
	var ready []balance.Endpoint
	for _, child := range children {
		if in, ok := child.Endpoint.Attributes.Value(instanceKey{}).(registry.Instance); ok && child.State.ConnectivityState == connectivity.Ready {
			ready = append(ready, balance.Endpoint{Instance: in, Via: child.State.Picker})
		}
	}
	share.balancer.Update(ready, len(children))
	if len(ready) > 0 {
		s.Picker = picker{share}
	}
	c.ClientConn.UpdateState(s)
}

// A picker gives a call to the instance that the balancer picks.
type picker struct{ *sharing }

// Pick implements balancer.Picker.
func (p picker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	var call balance.Call
	about, _ := info.Ctx.Value(aboutKey{}).(*about)
	if about != nil {
		call = about.call()
	}
	f := p.flight()
	var ok bool
	if f.Flight, ok = p.balancer.Pick(call); !ok && len(call.Avoid) > 0 {
		call.Avoid = nil // better the same one again than none
		f.Flight, ok = p.balancer.Pick(call)
	}
	if !ok {
		p.flights.Put(f)
		return balancer.PickResult{}, balancer.ErrNoSubConnAvailable // gRPC waits for the next picker
	}
	result, err := f.Peer.Via().(balancer.Picker).Pick(info)
	if err != nil {
		f.end(balance.GivenUp)
		return result, err
	}
	if about != nil {
		about.sent(f.Peer.ID())
	}
	result.Done = f.done
	return result, nil
}

// A flight is a call on its way, with the function that ends it.
type flight struct {
	balance.Flight
	sharing *sharing
	done    func(balancer.DoneInfo)
}

func (s *sharing) flight() *flight {
	if f, ok := s.flights.Get().(*flight); ok {
		return f
	}
	f := &flight{sharing: s}
	f.done = func(d balancer.DoneInfo) { f.end(s.outcome(d)) }
	return f
}

// end ends the call, and keeps the flight for another one.
func (f *flight) end(o balance.Outcome) {
	f.Done(o)
	f.sharing.flights.Put(f)
}

// outcome is how a call ended, for who picks the next one.
func (s *sharing) outcome(d balancer.DoneInfo) balance.Outcome {
	switch code := status.Code(d.Err); {
	case code == codes.Canceled:
		return balance.GivenUp // by the caller
	case !d.BytesSent && (d.Err == nil || code == codes.Unavailable):
		return balance.GivenUp // the connection was lost before; gRPC tells that apart, and picks again
	case slices.Contains(s.failures, code):
		return balance.Failed
	}
	return balance.OK
}

// failures are the codes that an instance which is well would not have given.
// A code like NOT_FOUND is an answer, and RESOURCE_EXHAUSTED says that another
// instance should be asked.
func failures() []codes.Code {
	return []codes.Code{
		codes.Unavailable, codes.Unknown, codes.Internal, codes.DataLoss, codes.DeadlineExceeded, codes.ResourceExhausted,
	}
}

// newest leaves one instance for each address: an instance that crashed stays
// listed for a while beside the one that took its place.
func newest(set []registry.Instance) []registry.Instance {
	at := make(map[string]time.Time, len(set))
	for _, in := range set {
		if t, ok := at[in.Addr]; !ok || in.Started.After(t) {
			at[in.Addr] = in.Started
		}
	}
	var out []registry.Instance
	for _, in := range set {
		if t, ok := at[in.Addr]; ok && t.Equal(in.Started) {
			out = append(out, in)
			delete(at, in.Addr)
		}
	}
	return out
}

// idKey is where an address keeps the id of its instance.
type idKey struct{}

// endpoints is a set of instances as gRPC wants it. The id is part of the
// address: a connection to an instance that lost power stays open at this end,
// and would be taken for one to its successor until keepalive finds out.
func endpoints(set []registry.Instance) []resolver.Endpoint {
	set = newest(set)
	out := make([]resolver.Endpoint, len(set))
	for i, in := range set {
		out[i] = resolver.Endpoint{
			Addresses:  []resolver.Address{{Addr: in.Addr, Attributes: attributes.New(idKey{}, in.ID)}},
			Attributes: attributes.New(instanceKey{}, in),
		}
	}
	return out
}
