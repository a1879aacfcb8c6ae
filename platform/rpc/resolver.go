package rpc

import (
	"context"
	"fmt"

	"google.golang.org/grpc/resolver"

	"example.com/app/platform/registry"
)

// scheme is what targets look like in gRPC's own messages: "role:///greeter".
const scheme = "role"

// A follower builds resolvers that follow one registry. It is given to one
// client with grpc.WithResolvers, never registered for all.
type follower struct{ registry registry.Registry }

func (follower) Scheme() string { return scheme }

// Build starts to follow the role that the target names, until Close.
func (f follower) Build(target resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	ctx, cancel := context.WithCancel(context.Background()) // gRPC owns the life of a resolver, by Close
	r := &following{cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		follow(ctx, f.registry, target.Endpoint(), cc)
	}()
	return r, nil
}

type following struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

// ResolveNow does nothing: news is pushed.
func (*following) ResolveNow(resolver.ResolveNowOptions) {}

// Close returns when nothing more will be told to gRPC.
func (r *following) Close() {
	r.cancel()
	<-r.ended
}

// follow hands each set of the role's instances to gRPC. What the registry
// can't tell is reported, and takes no instance away.
func follow(ctx context.Context, reg registry.Registry, role string, cc resolver.ClientConn) {
	for set, err := range reg.Watch(ctx, role) {
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			cc.ReportError(fmt.Errorf("find %s: %w", role, err))
			continue
		}
		// Bad state is gRPC's word for an empty set; the report below says it
		// in ours, so that a failing call names what is missing.
		_ = cc.UpdateState(resolver.State{Endpoints: endpoints(set)})
		if len(set) == 0 {
			cc.ReportError(fmt.Errorf("no instance of %s is registered", role))
		}
	}
}

func endpoints(set []registry.Instance) []resolver.Endpoint {
	out := make([]resolver.Endpoint, len(set))
	for i, in := range set {
		out[i] = resolver.Endpoint{Addresses: []resolver.Address{{Addr: in.Addr}}}
	}
	return out
}
