package rpc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/policy"
	"example.com/app/platform/rpc/internal/probepb"
)

// hedging makes a client that sends a copy of Read after some time.
func (w *world) hedging(after time.Duration, cfg ClientConfig) probepb.ProbeClient {
	w.Helper()
	cfg.Methods = Methods{"": {Hedge: On, HedgeAfter: after}}
	if cfg.Hedge == (HedgeConfig{}) {
		cfg.Hedge = HedgeConfig{Ratio: 1}
	}
	conn := w.dialAs("client", cfg)
	w.reach(conn)
	return probepb.NewProbeClient(conn)
}

// inTurn shares calls by turns, so that a test knows whose turn it is.
func inTurn() balance.Config { return balance.Config{Policy: &policy.RoundRobin{}} }

// tailed answers in a millisecond, and one call in so many in a hundred.
func tailed(every int, seed uint64) *probe {
	r := rand.New(rand.NewPCG(seed, 9))
	var mu sync.Mutex
	return &probe{answer: func(ctx context.Context, _ *probepb.Request) (*probepb.Reply, error) {
		mu.Lock()
		took := time.Millisecond
		if r.IntN(every) == 0 {
			took = 100 * time.Millisecond
		}
		mu.Unlock()
		timer := time.NewTimer(took)
		defer timer.Stop()
		select {
		case <-timer.C:
			return &probepb.Reply{}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
}

const thousand = 1000

// p99 of a thousand calls, 200 a second, to three instances of which any may be slow
// now and then; and how many calls the instances got.
func (w *world) p99(every int, hedge Switch) (p99 time.Duration, delivered int) {
	var probes []*probe
	for i := range 3 {
		probes = append(probes, tailed(every, uint64(i)))
		w.start(fmt.Sprint("probe-", i), probes[i], ServerConfig{})
	}
	conn := w.dialAs("client", ClientConfig{Hedge: HedgeConfig{Hedge: hedge}})
	w.reach(conn)
	var mu sync.Mutex
	var took []time.Duration
	var calls sync.WaitGroup
	for range thousand {
		calls.Go(func() {
			start := time.Now()
			_, err := probepb.NewProbeClient(conn).Read(w.Context(), &probepb.Request{})
			require.NoError(w, err)
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(start))
		})
		time.Sleep(5 * time.Millisecond)
	}
	calls.Wait()
	for _, p := range probes {
		delivered += p.calls()
	}
	slices.Sort(took)
	return took[len(took)*99/100], delivered
}

func TestHedgingCutsTheTailAtACostOfFivePercent(t *testing.T) {
	inMemory(t, func(w *world) {
		off, plain := w.p99(20, Off)
		require.Equal(w, thousand, plain)
		require.GreaterOrEqual(w, off, 100*time.Millisecond)
	})
	for _, every := range []int{20, 50} {
		inMemory(t, func(w *world) {
			on, more := w.p99(every, On)
			w.Logf("one call in %d takes 100 ms: p99 %v with %d more calls", every, on, more-thousand)
			require.LessOrEqual(w, on, 10*time.Millisecond)
			require.LessOrEqual(w, more, thousand*105/100+10)
		})
	}
}

func TestTheCopyGoesToAnotherInstanceAndTheLoserIsCancelled(t *testing.T) {
	inMemory(t, func(w *world) {
		cancelled := make(chan time.Time, 2)
		hang := &probe{answer: func(ctx context.Context, _ *probepb.Request) (*probepb.Reply, error) {
			<-ctx.Done()
			cancelled <- time.Now()
			return nil, ctx.Err()
		}}
		quick := &probe{answer: func(ctx context.Context, _ *probepb.Request) (*probepb.Reply, error) {
			require.NoError(w, grpc.SetHeader(ctx, metadata.Pairs("who", "quick")))
			require.NoError(w, grpc.SetTrailer(ctx, metadata.Pairs("end", "quick")))
			return &probepb.Reply{Text: "quick"}, nil
		}}
		w.start("probe-0", hang, ServerConfig{})
		w.start("probe-1", quick, ServerConfig{})
		m := NewHedgeMetrics()
		client := w.hedging(20*time.Millisecond, ClientConfig{Balance: inTurn(), HedgeMetrics: m})
		var waited int
		for range 4 {
			start := time.Now()
			var header, trailer metadata.MD
			reply, err := client.Read(w.Context(), &probepb.Request{}, grpc.Header(&header), grpc.Trailer(&trailer))
			require.NoError(w, err)
			require.Equal(w, "quick", reply.GetText())
			require.Equal(w, []string{"quick"}, header.Get("who"))
			require.Equal(w, []string{"quick"}, trailer.Get("end"))
			if time.Since(start) > 0 {
				require.Equal(w, 20*time.Millisecond, time.Since(start))
				require.Equal(w, time.Now(), <-cancelled)
				waited++
			}
		}
		require.Positive(w, waited)
		require.Equal(w, waited, hang.calls())
		require.Equal(w, map[string]float64{"grpc_client_hedges_total": float64(waited), "grpc_client_hedges_won_total": float64(waited)}, totals(w, m))
	})
}

// totals is what a collector counted, zeros apart.
func totals(w *world, c prometheus.Collector) map[string]float64 {
	reg := prometheus.NewPedanticRegistry()
	require.NoError(w, reg.Register(c))
	families, err := reg.Gather()
	require.NoError(w, err)
	counts := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			counts[f.GetName()] += m.GetCounter().GetValue()
		}
	}
	return counts
}

// An act is what an instance does with a call: wait, then answer.
type act struct {
	after time.Duration
	code  codes.Code
	text  string
}

func (a act) probe() *probe {
	return &probe{answer: func(ctx context.Context, _ *probepb.Request) (*probepb.Reply, error) {
		timer := time.NewTimer(a.after)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if a.code != codes.OK {
			return nil, status.Error(a.code, a.text)
		}
		return &probepb.Reply{Text: a.text}, nil
	}}
}

func TestTheFirstFinalAnswerIsTaken(t *testing.T) {
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		first, copied act
		code          codes.Code
		text          string
		took          time.Duration
	}{
		"the copy's":                            {act{100 * ms, codes.OK, "a"}, act{5 * ms, codes.OK, "b"}, codes.OK, "b", 25 * ms},
		"the first one's":                       {act{30 * ms, codes.OK, "a"}, act{50 * ms, codes.OK, "b"}, codes.OK, "a", 30 * ms},
		"a no is an answer":                     {act{100 * ms, codes.OK, "a"}, act{5 * ms, codes.NotFound, "b"}, codes.NotFound, "b", 25 * ms},
		"a no of the first one":                 {act{30 * ms, codes.NotFound, "a"}, act{50 * ms, codes.OK, "b"}, codes.NotFound, "a", 30 * ms},
		"an unavailable copy is none":           {act{100 * ms, codes.OK, "a"}, act{5 * ms, codes.Unavailable, "b"}, codes.OK, "a", 100 * ms},
		"an overloaded copy is none":            {act{100 * ms, codes.OK, "a"}, act{5 * ms, codes.ResourceExhausted, "b"}, codes.OK, "a", 100 * ms},
		"an overloaded first one waits":         {act{30 * ms, codes.ResourceExhausted, "a"}, act{50 * ms, codes.OK, "b"}, codes.OK, "b", 70 * ms},
		"where both fail it is the first one's": {act{60 * ms, codes.ResourceExhausted, "a"}, act{5 * ms, codes.Unavailable, "b"}, codes.ResourceExhausted, "a", 60 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, func(w *world) {
				original, copied := test.first.probe(), test.copied.probe()
				for i, p := range []*probe{original, copied} {
					w.start(fmt.Sprint("probe-", i), p, ServerConfig{})
				}
				client := w.hedging(20*time.Millisecond, ClientConfig{Balance: balance.Config{Policy: &first{}}})
				start := time.Now()
				reply, err := client.Read(w.Context(), &probepb.Request{})
				require.Equal(w, test.code, status.Code(err))
				if err != nil {
					require.Equal(w, test.text, status.Convert(err).Message())
				} else {
					require.Equal(w, test.text, reply.GetText())
				}
				require.Equal(w, test.took, time.Since(start))
				require.Equal(w, []int{1, 1}, []int{original.calls(), copied.calls()})
			})
		})
	}
}

func TestNothingIsLeftOfWhatTheMessageHeldBefore(t *testing.T) {
	inMemory(t, func(w *world) {
		w.start("probe-0", act{after: time.Second}.probe(), ServerConfig{})
		w.start("probe-1", act{text: "new"}.probe(), ServerConfig{})
		conn := w.dialAs("client", ClientConfig{Balance: balance.Config{Policy: &first{}}, Methods: Methods{"": {Hedge: On, HedgeAfter: 20 * time.Millisecond}}})
		w.reach(conn)
		reply := &probepb.Reply{Body: []byte("old")}
		require.NoError(w, conn.Invoke(w.Context(), probepb.Probe_Read_FullMethodName, &probepb.Request{}, reply))
		require.Equal(w, "new", reply.GetText())
		require.Empty(w, reply.GetBody())
	})
}

func TestOnlyMethodsWithoutSideEffectsAreHedged(t *testing.T) {
	inMemory(t, func(w *world) {
		p := sleeping(100 * time.Millisecond)
		w.start("probe-0", p, ServerConfig{})
		client := w.hedging(20*time.Millisecond, ClientConfig{})
		for _, call := range []func(context.Context, *probepb.Request, ...grpc.CallOption) (*probepb.Reply, error){client.Put, client.Write} {
			_, err := call(w.Context(), &probepb.Request{})
			require.NoError(w, err)
		}
		require.Equal(w, 2, p.calls())
	})
}

func TestNothingIsHedgedUnlessItIsSaid(t *testing.T) {
	inMemory(t, func(w *world) {
		p := sleeping(100 * time.Millisecond)
		w.start("probe-0", p, ServerConfig{})
		client := w.ready()
		for range 50 {
			_, err := client.Read(w.Context(), &probepb.Request{})
			require.NoError(w, err)
		}
		require.Equal(w, 50, p.calls())
	})
}

func TestNoCopiesAreSentOnceTheBudgetIsUsedUp(t *testing.T) {
	inMemory(t, func(w *world) {
		p := sleeping(100 * time.Millisecond)
		w.start("probe-0", p, ServerConfig{})
		m := NewHedgeMetrics()
		client := w.hedging(20*time.Millisecond, ClientConfig{Hedge: HedgeConfig{Ratio: 0.1}, HedgeMetrics: m})
		for range 105 {
			_, err := client.Read(w.Context(), &probepb.Request{})
			require.NoError(w, err)
		}
		synctest.Wait()
		require.Equal(w, 105+20, p.calls(), "one in ten, and what was saved up")
		require.InDelta(w, 85, totals(w, m)["grpc_client_hedges_denied_total"], 0)
	})
}

func TestNoCopiesAreSentWhileAnInstanceHasTooMuchToDo(t *testing.T) {
	inMemory(t, func(w *world) {
		code := codes.ResourceExhausted
		p := &probe{}
		p.answer = func(context.Context, *probepb.Request) (*probepb.Reply, error) {
			if p.calls() == 1 {
				return nil, status.Error(code, "full")
			}
			time.Sleep(100 * time.Millisecond)
			return &probepb.Reply{}, nil
		}
		w.start("probe-0", p, ServerConfig{})
		client := w.hedging(20*time.Millisecond, ClientConfig{})
		_, err := client.Read(w.Context(), &probepb.Request{})
		require.Equal(w, code, status.Code(err))
		for range 5 {
			_, err := client.Read(w.Context(), &probepb.Request{})
			require.NoError(w, err)
		}
		require.Equal(w, 6, p.calls())
		time.Sleep(time.Second)
		_, err = client.Read(w.Context(), &probepb.Request{})
		require.NoError(w, err)
		synctest.Wait()
		require.Equal(w, 8, p.calls())
	})
}

func TestACallerWhoLeavesTakesBothCopiesAlong(t *testing.T) {
	inMemory(t, func(w *world) {
		gone := make(chan time.Time, 2)
		hang := func() *probe {
			return &probe{answer: func(ctx context.Context, _ *probepb.Request) (*probepb.Reply, error) {
				<-ctx.Done()
				gone <- time.Now()
				return nil, ctx.Err()
			}}
		}
		w.start("probe-0", hang(), ServerConfig{})
		w.start("probe-1", hang(), ServerConfig{})
		client := w.hedging(20*time.Millisecond, ClientConfig{})
		ctx, cancel := context.WithTimeout(w.Context(), 50*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := client.Read(ctx, &probepb.Request{})
		require.Equal(w, codes.DeadlineExceeded, status.Code(err))
		for range 2 {
			require.Equal(w, 50*time.Millisecond, (<-gone).Sub(start))
		}
	})
}

func TestAQuantileIsWhereTheShareIs(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, share := range []float64{0.5, 0.95} {
		var q quantile
		above := 0
		const warm, all = 5000, 50000
		for i := range all {
			x := 1e6 * (1 + r.ExpFloat64())
			if i >= warm && x > q.value() {
				above++
			}
			q.hear(x, share)
		}
		require.InDelta(t, 1-share, float64(above)/(all-warm), 0.02)
	}
}

func TestTheDelayIsKnownAfterSomeCalls(t *testing.T) {
	m := &hedged{floor: time.Millisecond}
	for range known {
		require.Zero(t, m.delay())
		m.spent.hear(10 * time.Millisecond)
	}
	require.Equal(t, 15*time.Millisecond, m.delay())
	for range 200 { // one in five is slow
		for range 4 {
			m.spent.hear(10 * time.Millisecond)
		}
		m.spent.hear(time.Second)
	}
	require.InDelta(t, 50*time.Millisecond, m.delay(), float64(6*time.Millisecond), "five times the median")
	for range 10000 {
		m.spent.hear(10 * time.Microsecond)
	}
	require.Equal(t, time.Millisecond, m.delay(), "the floor")
	for range 2000 { // all were cancelled
		m.spent.atLeast(50 * time.Millisecond)
	}
	require.InDelta(t, 75*time.Millisecond, m.delay(), float64(time.Millisecond))
}
