package rpc

import (
	"context"
	"hash/maphash"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"example.com/app/platform/balance"
	"example.com/app/platform/resilience"
)

// The metadata by which a server that has too many calls tells them apart. Both
// follow a request from hop to hop. They are taken at their word: the edge must
// let neither in from outside.
const (
	ClientID = "x-client"   // on whose behalf the call is; calls without are their connection's
	Priority = "x-priority" // critical, default or sheddable
)

// admission decides which calls a server works on.
type admission struct {
	limiter *resilience.Limiter
	seed    maphash.Seed
	methods map[string]method // of the services that are registered
}

// A method is what the server knows of one of its methods.
type method struct {
	kind     *resilience.Kind
	priority resilience.Priority
	weight   int
}

func newAdmission(cfg ServerConfig) admission {
	a := admission{limiter: cfg.Limiter, seed: maphash.MakeSeed(), methods: make(map[string]method)}
	if a.limiter == nil {
		a.limiter = resilience.NewLimiter(resilience.LimitConfig{})
	}
	return a
}

// know adds the methods of a service.
func (a *admission) know(desc *grpc.ServiceDesc, cfg Methods) {
	for _, m := range desc.Methods {
		name := "/" + desc.ServiceName + "/" + m.MethodName
		c := cfg.of(name)
		a.methods[name] = method{a.limiter.NewKind(), c.Priority, c.Weight}
	}
	for _, s := range desc.Streams {
		c := cfg.of("/" + desc.ServiceName + "/" + s.StreamName)
		a.methods["/"+desc.ServiceName+"/"+s.StreamName] = method{nil, c.Priority, c.Weight}
	}
}

// enter lets a call in, or fails.
func (a *admission) enter(ctx context.Context, name string) (resilience.Permit, error) {
	m := a.methods[name]
	ask := resilience.Ask{Client: a.client(ctx), Kind: m.kind, Weight: m.weight, Priority: m.priority}
	if said := metadata.ValueFromIncomingContext(ctx, Priority); len(said) > 0 {
		if p, err := resilience.ParsePriority(said[0]); err == nil {
			ask.Priority = p
		}
	}
	return a.limiter.Acquire(ctx, ask)
}

// client is a hash of who calls.
func (a *admission) client(ctx context.Context) uint64 {
	if id := metadata.ValueFromIncomingContext(ctx, ClientID); len(id) > 0 {
		return balance.Hash(id[0])
	}
	if p, ok := peer.FromContext(ctx); ok {
		return maphash.Comparable(a.seed, p.Addr) // a pointer or a value: either way it is the connection's
	}
	return 0
}

// ended is how a call ended, for whoever sets the limit. An answer that comes
// after the deadline is no use to anybody.
func ended(ctx context.Context, err error) resilience.End {
	switch d, ok := ctx.Deadline(); {
	case ok && time.Until(d) <= 0:
		return resilience.Late
	case err == nil:
		return resilience.Served
	}
	return resilience.Failed
}
