package rpc

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"example.com/app/platform/balance"
	"example.com/app/platform/errs"
	"example.com/app/platform/resilience"
	"example.com/app/platform/rpc/internal/loadpb"
	"example.com/app/platform/rpc/internal/probepb"
)

// peer is the first instance that a client of b knows.
func (w *world) peer(client probepb.ProbeClient, f *first) *balance.Peer {
	w.Helper()
	_, err := client.Write(w.Context(), &probepb.Request{})
	require.NoError(w, err)
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.peers[0]
}

// sleeping answers after d.
func sleeping(d time.Duration) *probe {
	return &probe{answer: func(context.Context, *probepb.Request) (*probepb.Reply, error) {
		time.Sleep(d)
		return &probepb.Reply{}, nil
	}}
}

func TestAnInstanceTellsHowBusyItIs(t *testing.T) {
	inMemory(t, func(w *world) {
		f := &first{}
		w.start("probe-0", sleeping(30*time.Millisecond), ServerConfig{})
		client := w.two1(f)
		p := w.peer(client, f)
		l, err := Prober{}.Probe(w.Context(), p)
		require.NoError(w, err)
		require.Equal(w, balance.Load{Latency: 30 * time.Millisecond}, l)
		for range 3 {
			go func() { _, _ = client.Write(w.Context(), &probepb.Request{}) }()
		}
		synctest.Wait()
		l, err = Prober{}.Probe(w.Context(), p)
		require.NoError(w, err)
		require.Equal(w, balance.Load{InFlight: 3, Latency: 30 * time.Millisecond}, l)
		time.Sleep(time.Second)
		l, err = Prober{}.Probe(w.Context(), p)
		require.NoError(w, err)
		require.Zero(w, l.InFlight)
	})
}

// two1 adds an instance and dials, calls shared by f: the only instance would
// not be asked for its load.
func (w *world) two1(f *first) probepb.ProbeClient {
	w.Helper()
	w.start("probe-1", &probe{}, ServerConfig{})
	conn := w.dialAs("client", ClientConfig{Balancer: w.newBalancer(f)})
	w.reach(conn)
	return probepb.NewProbeClient(conn)
}

func TestAPolicyHearsHowBusyInstancesAre(t *testing.T) {
	inMemory(t, func(w *world) {
		f := &first{}
		w.start("probe-0", sleeping(30*time.Millisecond), ServerConfig{})
		client := w.two1(f)
		for range 2 {
			w.peer(client, f)
			synctest.Wait()
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		require.Equal(w, 30*time.Millisecond, f.loads[len(f.loads)-1].Latency, "what the first call took")
	})
}

func TestTheLoadIsToldBesideEverythingElse(t *testing.T) {
	inMemory(t, func(w *world) {
		metrics, seen := grpcprom.NewServerMetrics(), new(atomic.Int64)
		f, hang := &first{}, make(chan struct{})
		in := w.start("probe-0", &probe{answer: func(_ context.Context, req *probepb.Request) (*probepb.Reply, error) {
			if req.GetText() == "hang" {
				<-hang
			}
			return &probepb.Reply{}, nil
		}}, ServerConfig{
			Metrics: metrics, Observe: func(Call) { seen.Add(1) },
			Workers: resilience.NewWorkers(resilience.Work{Workers: 1, Queue: 1}),
		})
		client := w.two1(f)
		p := w.peer(client, f)
		for range 2 {
			go func() { _, _ = client.Write(w.Context(), &probepb.Request{Text: "hang"}) }()
		}
		synctest.Wait()
		for range 5 {
			l, err := Prober{}.Probe(w.Context(), p)
			require.NoError(w, err, "the workers are busy, and health would be answered too")
			require.Equal(w, 2, l.InFlight)
		}
		require.Equal(w, 2, in.InFlight())
		require.EqualValues(w, 1, seen.Load())
		registered := prometheus.NewRegistry()
		registered.MustRegister(metrics)
		families, err := registered.Gather()
		require.NoError(w, err)
		require.NotEmpty(w, families)
		for _, f := range families {
			require.NotContains(w, f.String(), "app.load.v1")
		}
		require.Equal(w, []string{"probe.v1.Probe"}, in.Services())
		close(hang)
		synctest.Wait()
	})
}

func TestAnInstanceThatCannotTellItsLoadIsNotAskedAgainForAMinute(t *testing.T) {
	inMemory(t, func(w *world) {
		asked := new(atomic.Int64)
		_, n := w.host("probe-0")
		ln, err := n.Listen(w.Context(), w.listen)
		require.NoError(w, err)
		old := grpc.NewServer(grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
			asked.Add(1)
			return status.Error(codes.Unimplemented, "what load?")
		}))
		healthy := health.NewServer()
		healthy.SetServingStatus("probe", grpc_health_v1.HealthCheckResponse_SERVING)
		grpc_health_v1.RegisterHealthServer(old, healthy)
		probepb.RegisterProbeServer(old, &probe{})
		go func() { _ = old.Serve(ln) }()
		defer old.Stop()
		w.list("probe-0", ln.Addr().String())
		f := &first{}
		p := w.peer(w.two1(f), f)
		synctest.Wait()
		for range 3 {
			_, err := Prober{}.Probe(w.Context(), p)
			require.Error(w, err)
		}
		require.EqualValues(w, 1, asked.Load())
		time.Sleep(61 * time.Second)
		_, err = Prober{}.Probe(w.Context(), p)
		require.Equal(w, codes.Unimplemented, status.Code(err))
		require.EqualValues(w, 2, asked.Load())
	})
}

func TestOnlyInstancesOfAClientCanBeAsked(t *testing.T) {
	f := &first{}
	b := balance.New(balance.Config{Policy: f})
	defer b.Close()
	b.Update([]balance.Endpoint{{}, {}}, 2)
	_, ok := b.Pick(balance.Call{})
	require.True(t, ok)
	_, err := Prober{}.Probe(t.Context(), f.peers[0])
	require.True(t, errs.Internal.Is(err))
}

// served puts calls through a load that take so long each, all at once.
func (l *load) served(t *testing.T, n int, took time.Duration, err error) {
	t.Helper()
	ended := make(chan struct{})
	for range n {
		go func() {
			_, _ = l.unary(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: "/x/y"}, func(context.Context, any) (any, error) {
				time.Sleep(took)
				return nil, err
			})
			ended <- struct{}{}
		}()
		synctest.Wait() // one arrives after the other
	}
	for range n {
		<-ended
	}
}

func TestTheLatencyIsThatOfCallsThatCameWhenAboutAsManyWereInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &load{began: time.Now()}
		ask := func(n int64) time.Duration { return l.latency(time.Since(l.began), n) }
		require.Zero(t, ask(1), "no call yet")
		for range 20 {
			l.served(t, 1, 10*time.Millisecond, nil)
		}
		l.served(t, 50, 400*time.Millisecond, nil)
		require.Equal(t, 10*time.Millisecond, ask(1))
		require.Equal(t, 400*time.Millisecond, ask(40))
		require.Equal(t, 400*time.Millisecond, ask(1000), "the nearest there are")
		for range 200 {
			l.served(t, 1, time.Millisecond, errors.New("at once"))
		}
		require.Equal(t, 10*time.Millisecond, ask(1), "a failure is no sign of speed")
		time.Sleep(11 * time.Second)
		require.Zero(t, ask(1), "all that is known is old")
		require.Zero(t, l.inFlight.Load())
	})
}

func TestAStreamIsInFlightAndHasNoLatency(t *testing.T) {
	l := &load{began: time.Now()}
	for method, want := range map[string]int64{"/x/y": 1, healthPrefix + "Watch": 0} {
		require.NoError(t, l.stream(nil, nil, &grpc.StreamServerInfo{FullMethod: method}, func(any, grpc.ServerStream) error {
			require.Equal(t, want, l.inFlight.Load())
			return nil
		}))
	}
	require.Zero(t, l.inFlight.Load())
	require.Zero(t, l.latency(time.Since(l.began), 1))
}

func TestASampleKeepsWhatItIsGiven(t *testing.T) {
	s := newSample(300, 1500*time.Microsecond, time.Hour+50*time.Millisecond)
	require.EqualValues(t, 300, s.inFlight())
	require.Equal(t, 1500*time.Microsecond, s.took())
	require.Equal(t, time.Hour, s.ended())
	most := newSample(math.MaxInt64, math.MaxInt64, 0)
	require.EqualValues(t, math.MaxInt16, most.inFlight())
	require.Equal(t, (1<<28-1)*time.Microsecond, most.took())
	require.NotZero(t, newSample(0, 0, 0))
}

// BenchmarkLoad is what the load costs a call, and what it costs to tell it.
func BenchmarkLoad(b *testing.B) {
	l, ctx := &load{began: time.Now()}, b.Context()
	handle := func(context.Context, any) (any, error) { return nil, nil }
	info := &grpc.UnaryServerInfo{FullMethod: probepb.Probe_Read_FullMethodName}
	b.Run("call", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = l.unary(ctx, nil, info, handle)
		}
	})
	b.Run("probe", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = l.Probe(ctx, &loadpb.ProbeRequest{})
		}
	})
}
