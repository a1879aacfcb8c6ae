package rpc

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"example.com/app/platform/resilience"
	"example.com/app/platform/rpc/internal/loadpb"
	"example.com/app/platform/rpc/internal/probepb"
)

// capacity is what the modelled server answers in a second: 8 workers, 10 ms
// each.
const capacity = 800

func eight() ServerConfig {
	return ServerConfig{Workers: resilience.NewWorkers(resilience.Work{Time: 10 * time.Millisecond, Workers: 8, Queue: 100000})}
}

// An arrival is an open loop of calls, each with a deadline of 100 ms.
type arrival struct {
	client probepb.ProbeClient
	load   float64 // of the capacity
	lasts  time.Duration
	header []string // metadata of each call
}

// ends is how many calls ended with each code.
type ends map[codes.Code]int

func (e ends) share() float64 {
	all := 0
	for _, n := range e {
		all += n
	}
	return float64(e[codes.OK]) / float64(all)
}

func (a arrival) run(w *world, seed uint64) ends {
	r := rand.New(rand.NewPCG(seed, 5))
	e := ends{}
	var mu sync.Mutex
	var calls sync.WaitGroup
	for start := time.Now(); time.Since(start) < a.lasts; {
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(w.Context(), a.header...), 100*time.Millisecond)
			defer cancel()
			_, err := a.client.Write(ctx, &probepb.Request{})
			mu.Lock()
			defer mu.Unlock()
			e[status.Code(err)]++
		})
		time.Sleep(time.Duration(r.ExpFloat64() / (a.load * capacity) * float64(time.Second)))
	}
	calls.Wait()
	return e
}

func TestOV1ServersStayUsefulUnderOverload(t *testing.T) {
	for load, least := range map[float64]float64{2: 0.8, 4: 0.8} { // 0.7 and 0.5 are asked for
		inMemory(t, func(w *world) {
			w.start("probe-0", &probe{}, eight())
			client := w.ready()
			e := arrival{client: client, load: load, lasts: 2 * time.Second}.run(w, 1)
			useful := float64(e[codes.OK]) / (2 * capacity)
			w.Logf("at %v x: %.1f %% of the capacity is useful: %v", load, 100*useful, e)
			require.GreaterOrEqual(w, useful, least, "at %v x", load)
			require.Greater(w, e[codes.ResourceExhausted], 2*e[codes.DeadlineExceeded], "most of the excess is refused")

			time.Sleep(2 * time.Second)
			after := arrival{client: client, load: 0.5, lasts: time.Second}.run(w, 2)
			require.GreaterOrEqual(w, after.share(), 0.99, "OV5: after %v x: %v", load, after)
		})
	}
}

func TestOV3HealthAndLoadAreToldUnderOverload(t *testing.T) {
	inMemory(t, func(w *world) {
		cfg := eight()
		cfg.Limiter = resilience.NewLimiter(resilience.LimitConfig{Initial: 2, Max: 2, Queue: -1})
		in := w.start("probe-0", &probe{}, cfg)
		client := w.ready()
		go arrival{client: client, load: 4, lasts: 300 * time.Millisecond}.run(w, 1)
		time.Sleep(200 * time.Millisecond)
		_, n := w.host("doctor")
		direct, err := grpc.NewClient("passthrough:///"+in.addr, grpc.WithContextDialer(n.Dial), insecurely())
		require.NoError(w, err)
		defer func() { _ = direct.Close() }()
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		for range 100 {
			_, err = grpc_health_v1.NewHealthClient(direct).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
			require.NoError(w, err)
			_, err = loadpb.NewLoadClient(direct).Probe(ctx, &loadpb.ProbeRequest{})
			require.NoError(w, err)
		}
		time.Sleep(time.Second)
	})
}

func TestOV6AFloodedRoleDoesNotStarveAnother(t *testing.T) {
	inMemory(t, func(w *world) {
		w.start("flooded", &probe{}, eight())
		flooded := w.ready()
		other := w.serve("other", func() ServerConfig { c := eight(); c.Role = "other"; return c }(), func(s grpc.ServiceRegistrar) {
			probepb.RegisterProbeServer(s, &probe{})
		})
		_, n := w.host("client")
		direct, err := grpc.NewClient("passthrough:///"+other.addr, grpc.WithContextDialer(n.Dial), insecurely())
		require.NoError(w, err)
		defer func() { _ = direct.Close() }()
		var calm, flood ends
		var both sync.WaitGroup
		both.Go(func() { flood = arrival{client: flooded, load: 4, lasts: time.Second}.run(w, 1) })
		both.Go(func() {
			calm = arrival{client: probepb.NewProbeClient(direct), load: 0.5, lasts: time.Second}.run(w, 2)
		})
		both.Wait()
		require.Less(w, flood.share(), 0.5)
		require.InDelta(w, 1, calm.share(), 0)
	})
}

func TestOV8AClientIsItsConnectionOrWhomItNames(t *testing.T) {
	for name, header := range map[string]func(string) []string{
		"connection": func(string) []string { return nil },
		"name":       func(client string) []string { return []string{ClientID, client} },
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, func(w *world) {
				w.start("probe-0", &probe{}, eight())
				shared := w.ready()
				client := func(host string) probepb.ProbeClient {
					if name == "name" {
						return shared // as behind a gateway
					}
					conn := w.dialAs(host, ClientConfig{})
					w.reach(conn)
					return probepb.NewProbeClient(conn)
				}
				greedy := arrival{client: client("greedy"), load: 4, lasts: time.Second, header: header("greedy")}
				modest := arrival{client: client("modest"), load: 0.2, lasts: time.Second, header: header("modest")}
				var g, m ends
				var both sync.WaitGroup
				both.Go(func() { g = greedy.run(w, 1) })
				both.Go(func() { m = modest.run(w, 2) })
				both.Wait()
				require.GreaterOrEqual(w, m.share(), 0.9, "%v", m)
				require.Less(w, g.share(), 0.5)
			})
		})
	}
}

// full is a server with room for one call, which is taken. Nobody may wait.
func (w *world) full(methods Methods) (client probepb.ProbeClient, p *probe, release func()) {
	w.Helper()
	leave := make(chan struct{})
	p = &probe{answer: func(context.Context, *probepb.Request) (*probepb.Reply, error) {
		<-leave
		return &probepb.Reply{}, nil
	}}
	w.start("probe-0", p, ServerConfig{
		Methods: methods,
		Limiter: resilience.NewLimiter(resilience.LimitConfig{Initial: 1, Min: 1, Max: 1, Queue: 1, Wait: time.Hour}),
	})
	client = w.ready()
	go func() { _, _ = client.Write(w.Context(), &probepb.Request{}) }()
	synctest.Wait()
	return client, p, func() { close(leave); synctest.Wait() }
}

func TestOV2ARefusalTellsWhenToComeBack(t *testing.T) {
	inMemory(t, func(w *world) {
		client, p, release := w.full(nil)
		go func() { _, _ = client.Write(w.Context(), &probepb.Request{}) }() // it waits
		synctest.Wait()
		_, err := client.Read(w.Context(), &probepb.Request{})
		s := status.Convert(err)
		require.Equal(w, codes.ResourceExhausted, s.Code())
		require.Equal(w, time.Second, s.Details()[1].(*errdetails.RetryInfo).GetRetryDelay().AsDuration())
		stream, err := client.Chat(w.Context())
		require.NoError(w, err)
		_, err = stream.Recv()
		require.Equal(w, codes.ResourceExhausted, status.Code(err), "a stream is refused too")
		release()
		require.Equal(w, 2, p.calls())
	})
}

func TestOV7ACallThatExpiredInTheQueueIsNotStarted(t *testing.T) {
	inMemory(t, func(w *world) {
		client, p, release := w.full(nil)
		ctx, cancel := context.WithTimeout(w.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := client.Write(ctx, &probepb.Request{})
		require.Equal(w, codes.DeadlineExceeded, status.Code(err))
		release()
		require.Equal(w, 1, p.calls())
	})
}

func TestACallIsAsImportantAsItSaysElseAsItsMethod(t *testing.T) {
	for name, test := range map[string]struct {
		methods Methods
		header  string
		want    codes.Code
	}{
		"as others are":          {nil, "", codes.ResourceExhausted},
		"it says so":             {nil, "critical", codes.OK},
		"its method is":          {Methods{"/probe.v1.Probe/Read": {Priority: resilience.Critical}}, "", codes.OK},
		"it says less":           {Methods{"": {Priority: resilience.Critical}}, "sheddable", codes.ResourceExhausted},
		"it says what is no use": {Methods{"/probe.v1.Probe/Read": {Priority: resilience.Critical}}, "urgent", codes.OK},
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, func(w *world) {
				client, _, release := w.full(test.methods)
				waits := make(chan error, 1)
				go func() {
					_, err := client.Write(w.Context(), &probepb.Request{})
					waits <- err
				}()
				synctest.Wait()
				ctx := w.Context()
				if test.header != "" {
					ctx = metadata.AppendToOutgoingContext(ctx, Priority, test.header)
				}
				asked := make(chan error, 1)
				go func() {
					_, err := client.Read(ctx, &probepb.Request{})
					asked <- err
				}()
				synctest.Wait()
				release()
				require.Equal(w, test.want, status.Code(<-asked))
				other := map[codes.Code]codes.Code{codes.OK: codes.ResourceExhausted, codes.ResourceExhausted: codes.OK}
				require.Equal(w, other[test.want], status.Code(<-waits))
			})
		})
	}
}

func TestWhatFollowsARequestIsHandedOn(t *testing.T) {
	inMemory(t, func(w *world) {
		seen := make(chan []string, 1)
		p := &probe{answer: func(ctx context.Context, _ *probepb.Request) (*probepb.Reply, error) {
			var all []string
			for _, key := range []string{RequestID, ClientID, Priority} {
				all = append(all, metadata.ValueFromIncomingContext(ctx, key)...)
			}
			seen <- all
			return &probepb.Reply{}, nil
		}}
		w.start("probe-0", p, ServerConfig{})
		through, _ := w.readRelay()
		ctx := metadata.AppendToOutgoingContext(w.Context(), RequestID, "r-1", ClientID, "ada", Priority, "critical")
		_, err := through.Read(ctx, &probepb.Request{})
		require.NoError(w, err)
		require.Equal(w, []string{"r-1", "ada", "critical"}, <-seen)
	})
}
