package rpc

import (
	"context"
	"fmt"
	"sync/atomic"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/resolver"

	"example.com/app/platform/balance"
	"example.com/app/platform/registry"
)

// scheme is what targets look like in gRPC's own messages: "role:///greeter".
const scheme = "role"

// A follower builds resolvers that follow one role in a registry. It is given
// to one client with grpc.WithResolvers, never registered for all.
type follower struct {
	registry registry.Registry
	balancer *balance.Balancer // of the client's calls; nil: one is made
	balance  balance.Config    // and so
	failures []codes.Code      // that speak against an instance
	empty    atomic.Bool       // the registry says that the role has no instance
}

// Scheme is that of the targets it resolves.
func (*follower) Scheme() string { return scheme }

// Build starts to follow the role that the target names, until Close.
func (f *follower) Build(target resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	ctx, cancel := context.WithCancel(context.Background()) // gRPC owns the life of a resolver, by Close
	r := &following{cancel: cancel, ended: make(chan struct{})}
	share := &sharing{balancer: f.balancer, failures: f.failures}
	if share.balancer == nil {
		r.own = balance.New(f.balance) // here, not sooner: a client that is never used is never resolved, nor closed
		share.balancer = r.own
	}
	go func() {
		defer close(r.ended)
		f.follow(ctx, target.Endpoint(), told{cc, attributes.New(sharingKey{}, share)})
	}()
	return r, nil
}

type following struct {
	cancel context.CancelFunc
	ended  chan struct{}
	own    *balance.Balancer // nil: somebody else closes it
}

// told is where news goes, and what goes along with it.
type told struct {
	resolver.ClientConn
	with *attributes.Attributes
}

// ResolveNow does nothing: news is pushed.
func (*following) ResolveNow(resolver.ResolveNowOptions) {}

// Close returns when nothing more will be told to gRPC.
func (r *following) Close() {
	r.cancel()
	<-r.ended
	if r.own != nil {
		r.own.Close()
	}
}

// follow hands each set of the role's instances to gRPC. What the registry
// can't tell is reported, and takes no instance away.
func (f *follower) follow(ctx context.Context, role string, cc told) {
	for set, err := range f.registry.Watch(ctx, role) {
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			cc.ReportError(fmt.Errorf("find %s: %w", role, err))
			continue
		}
		f.empty.Store(len(set) == 0)
		_ = cc.UpdateState(resolver.State{Endpoints: endpoints(set), Attributes: cc.with}) // "bad state" is gRPC's word for an empty set
	}
}
