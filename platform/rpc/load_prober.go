package rpc

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/app/platform/balance"
	"example.com/app/platform/errs"
	"example.com/app/platform/rpc/internal/loadpb"
)

// Prober asks instances for their load, over the connections of the client that
// Dial made with the same balancer. It is the balance.Prober of that balancer.
type Prober struct{}

// silence is how long an instance that can't tell its load is not asked again.
const silence = time.Minute

// Probe asks one instance. An instance of an older program, which does not know
// the question, is left alone for a while.
func (Prober) Probe(ctx context.Context, p *balance.Peer) (balance.Load, error) {
	via, ok := p.Via().(balancer.Picker)
	if !ok {
		return balance.Load{}, errs.Internal.New("ask %s for its load: no client of Dial knows it", p.ID())
	}
	picked, err := via.Pick(balancer.PickInfo{Ctx: ctx})
	if err != nil {
		return balance.Load{}, err
	}
	// It is never given back: it ends with the connection, and its silence too.
	a, _ := picked.SubConn.GetOrBuildProducer(askers{})
	return a.(*asker).ask(ctx)
}

// askers builds what asks over one connection (balancer.ProducerBuilder).
type askers struct{}

// Build makes an asker, which needs no end.
func (askers) Build(conn any) (balancer.Producer, func()) {
	return &asker{load: loadpb.NewLoadClient(conn.(grpc.ClientConnInterface)), began: time.Now()}, func() {}
}

type asker struct {
	load  loadpb.LoadClient
	began time.Time
	until atomic.Int64 // it is not asked before, in ns since began
}

func (a *asker) ask(ctx context.Context) (balance.Load, error) {
	if int64(time.Since(a.began)) < a.until.Load() {
		return balance.Load{}, errs.Unsupported.New("it can't tell its load")
	}
	l, err := a.load.Probe(ctx, &loadpb.ProbeRequest{})
	if status.Code(err) == codes.Unimplemented {
		a.until.Store(int64(time.Since(a.began) + silence))
	}
	if err != nil {
		return balance.Load{}, err
	}
	return balance.Load{InFlight: int(l.GetInFlight()), Latency: time.Duration(l.GetLatencyUs()) * time.Microsecond}, nil
}
