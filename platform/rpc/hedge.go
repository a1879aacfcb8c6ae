package rpc

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"example.com/app/platform/resilience"
)

// A HedgeConfig says when a call that has no answer yet is sent to a second
// instance. Only unary methods marked NO_SIDE_EFFECTS are. Zero values are the
// defaults.
type HedgeConfig struct {
	Hedge Switch        // for methods of which nothing else is said; Unset means Off
	Floor time.Duration // no copy is sent sooner; 0 means 1 ms

	// Ratio is how many copies there are for each call, at most; Burst is how
	// many can be saved up. 0 means 0.05 and 10.
	Ratio, Burst float64
}

// A hedger sends a second copy of calls that take longer than most, and takes
// the answer that comes first. A copy costs work twice, so there is a budget,
// and none is sent while an instance says that it has too much to do.
//
// The first attempt runs in the caller's goroutine with the caller's message,
// so that a call which is answered in time, as most are, costs no goroutine and
// no second message.
type hedger struct {
	callee  string
	methods map[string]*hedged // by full name; does not change
	budget  *resilience.Budget
	metrics *HedgeMetrics
	began   time.Time
	quiet   atomic.Int64 // no copy is sent before, in ns since began
}

// hedged is a method of whose calls copies are sent.
type hedged struct {
	after time.Duration // 0: as the calls before went
	floor time.Duration
	spent spent
}

// newHedger returns nil where no method is hedged.
func newHedger(cfg ClientConfig, harmless []methodName) *hedger {
	h := &hedger{callee: cfg.Role, methods: make(map[string]*hedged), metrics: cfg.HedgeMetrics, began: time.Now()}
	for _, m := range harmless {
		if set := cfg.Methods.of(m.full()); cfg.hedges(set) {
			floor := cfg.Hedge.Floor
			if floor == 0 {
				floor = time.Millisecond
			}
			h.methods[m.full()] = &hedged{after: set.HedgeAfter, floor: floor}
		}
	}
	if len(h.methods) == 0 {
		return nil
	}
	if h.metrics == nil {
		h.metrics = NewHedgeMetrics()
	}
	b := resilience.BudgetConfig{Ratio: cfg.Hedge.Ratio, PerSecond: -1, Burst: cfg.Hedge.Burst}
	if b.Ratio == 0 {
		b.Ratio = 0.05
	}
	if b.Burst == 0 {
		b.Burst = 10
	}
	h.budget = resilience.NewBudget(b)
	return h
}

// hedges reports whether copies of a method's calls are sent.
func (c ClientConfig) hedges(m MethodConfig) bool {
	return m.Hedge == On || m.Hedge == Unset && c.Hedge.Hedge == On
}

// unary implements grpc.UnaryClientInterceptor.
func (h *hedger) unary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	m, ok := h.methods[method]
	if !ok {
		return invoke(ctx, method, req, reply, conn, opts...)
	}
	h.budget.Call()
	start := time.Now()
	into, ok := reply.(proto.Message)
	delay := m.delay()
	if left, bound := ctx.Deadline(); !ok || delay == 0 || bound && left.Sub(start) <= delay {
		err := invoke(ctx, method, req, reply, conn, opts...)
		h.hear(m, time.Since(start), err)
		return err
	}
	ctx, cancel := context.WithCancel(apart(ctx))
	defer cancel()
	copied := &attempt{reply: into, ended: make(chan struct{})}
	timer := time.AfterFunc(delay, func() {
		defer close(copied.ended)
		if !h.may() {
			return
		}
		copied.send(ctx, func(ctx context.Context, reply any, opts ...grpc.CallOption) error {
			return invoke(ctx, method, req, reply, conn, opts...)
		}, opts)
		h.refused(copied.err)
		if final(copied.err) {
			copied.won.Store(ctx.Err() == nil)
			cancel() // the first attempt is not needed any more
		}
	})
	err := invoke(ctx, method, req, reply, conn, opts...)
	h.hear(m, time.Since(start), err)
	if timer.Stop() {
		return err
	}
	if final(err) && !copied.won.Load() {
		cancel()
		<-copied.ended
		return err
	}
	<-copied.ended
	if err == nil || !copied.won.Load() {
		return err
	}
	h.metrics.won.WithLabelValues(h.callee).Inc()
	copied.hand(into, opts)
	return copied.err
}

// may reports whether a copy may be sent, and counts it.
func (h *hedger) may() bool {
	if int64(time.Since(h.began)) < h.quiet.Load() || !h.budget.Retry() {
		h.metrics.denied.WithLabelValues(h.callee).Inc()
		return false
	}
	h.metrics.sent.WithLabelValues(h.callee).Inc()
	return true
}

// hush is how long no copies are sent after an instance had too much to do.
const hush = time.Second

// refused stops copies for a while where an instance has too much to do.
func (h *hedger) refused(err error) {
	if status.Code(err) == codes.ResourceExhausted {
		h.quiet.Store(int64(time.Since(h.began) + hush))
	}
}

// hear learns from how a first attempt ended.
func (h *hedger) hear(m *hedged, took time.Duration, err error) {
	h.refused(err)
	switch status.Code(err) {
	case codes.OK:
		m.spent.hear(took)
	case codes.Canceled, codes.DeadlineExceeded: // it would have taken at least so long
		m.spent.atLeast(took)
	}
}

// final reports whether an answer decides the call. UNAVAILABLE and
// RESOURCE_EXHAUSTED do not while another attempt is on its way, and of an
// answer that says no for a reason the other one would say the same.
func final(err error) bool {
	code := status.Code(err)
	return code != codes.Unavailable && code != codes.ResourceExhausted
}

// An attempt is the second copy of a call. It has a message and metadata of its
// own: the first one may be writing into the caller's.
type attempt struct {
	reply           proto.Message // the caller's until send, which makes one like it
	header, trailer metadata.MD
	err             error
	won             atomic.Bool
	ended           chan struct{}
}

// send makes the copy. It is not retried: two copies of four attempts would be
// eight.
func (a *attempt) send(ctx context.Context, invoke func(context.Context, any, ...grpc.CallOption) error, opts []grpc.CallOption) {
	own := slices.DeleteFunc(slices.Clone(opts), func(o grpc.CallOption) bool {
		switch o.(type) {
		case grpc.HeaderCallOption, grpc.TrailerCallOption, grpc.PeerCallOption, grpc.OnFinishCallOption:
			return true
		}
		return false
	})
	a.reply = a.reply.ProtoReflect().New().Interface()
	a.err = invoke(ctx, a.reply, append(own, grpc.Header(&a.header), grpc.Trailer(&a.trailer), grpc.MaxRetryRPCBufferSize(0))...)
}

// hand gives the caller what the copy has brought.
func (a *attempt) hand(into proto.Message, opts []grpc.CallOption) {
	if a.err == nil {
		proto.Reset(into)
		proto.Merge(into, a.reply)
	}
	for _, o := range opts {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			*o.HeaderAddr = a.header
		case grpc.TrailerCallOption:
			*o.TrailerAddr = a.trailer
		}
	}
}
