package sim

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"example.com/app/sim/fault"
	"example.com/app/sim/wire"
)

// A meddler spoils calls between the server that let them in and the handler.
type meddler struct {
	seed uint64
	mu   sync.Mutex
	on   []*meddling
}

// A meddling is a fault of calls that is at work.
type meddling struct {
	fault.Fault
	draws map[string]*rand.Rand // by host
}

// begin has a fault of calls happen, until heal is called.
func (m *meddler) begin(f fault.Fault) (heal func()) {
	on := &meddling{f, map[string]*rand.Rand{}}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.on = append(m.on, on)
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.on = slices.DeleteFunc(m.on, func(o *meddling) bool { return o == on })
	}
}

// A spell is what happens to one call.
type spell struct {
	delay              time.Duration
	before, after, two bool
}

// cast decides what happens to a call of a host.
func (m *meddler) cast(host string) (s spell) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, on := range m.on {
		if !wire.Match(on.A, host, "") {
			continue
		}
		if on.Kind == fault.SlowCalls {
			s.delay += on.Delay
			continue
		}
		r := on.draws[host]
		if r == nil {
			r = fault.Rand(m.seed, on.String(), host)
			on.draws[host] = r
		}
		if r.Float64() >= on.Amount {
			continue
		}
		switch on.Kind {
		case fault.LoseRequest:
			s.before = true
		case fault.LoseReply:
			s.after = true
		case fault.Duplicate:
			s.two = true
		default:
		}
	}
	return s
}

// around is what stands in front of the handlers of a host.
func (m *meddler) around(_, host string) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		s := m.cast(host)
		if s.delay > 0 {
			wait := time.NewTimer(s.delay)
			defer wait.Stop()
			select {
			case <-wait.C:
			case <-ctx.Done():
				return nil, status.FromContextError(ctx.Err()).Err()
			}
		}
		if s.before {
			return nil, status.Error(codes.Unavailable, "simulated: the request was lost")
		}
		if m, ok := req.(proto.Message); ok && s.two {
			_, _ = handle(ctx, proto.Clone(m)) // the network delivered it twice; the caller hears one answer
		}
		reply, err := handle(ctx, req)
		if s.after {
			return nil, status.Error(codes.Unavailable, "simulated: the reply was lost")
		}
		return reply, err
	}
}
