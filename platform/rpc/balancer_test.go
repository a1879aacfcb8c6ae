package rpc

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/policy"
	"example.com/app/platform/registry"
	"example.com/app/platform/rpc/internal/probepb"
)

// first is a policy that picks the first instance, remembers what it was asked,
// and wants to know how busy instances are.
type first struct {
	mu    sync.Mutex
	calls []balance.Call
	peers []*balance.Peer
	loads []balance.Load
}

func (f *first) Pick(c balance.Call, s *balance.Set) balance.Choice {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.Now = 0
	f.calls, f.peers = append(f.calls, c), s.Peers
	s.Ask(s.Peers[0])
	return balance.Choice{Peer: s.Peers[0], Why: "the first"}
}

func (f *first) Hear(_ *balance.Peer, l balance.Load) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loads = append(f.loads, l)
}

func (*first) String() string { return "first" }

// last is what it was asked last.
func (f *first) last() balance.Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[len(f.calls)-1]
}

// newBalancer is a ready-made one with a policy, for the length of a test.
func (w *world) newBalancer(p balance.Policy) *balance.Balancer {
	b := balance.New(balance.Config{Policy: p, Prober: Prober{}, Seed: 1})
	w.Cleanup(b.Close)
	return b
}

// two instances of "probe" are up, and a client shares its calls by b.
func (w *world) two(b *balance.Balancer, cfg ClientConfig) probepb.ProbeClient {
	w.Helper()
	w.start("probe-0", &probe{}, ServerConfig{})
	w.start("probe-1", &probe{}, ServerConfig{})
	cfg.Balancer = b
	conn := w.dialAs("client", cfg)
	w.reach(conn)
	return probepb.NewProbeClient(conn)
}

// ids are the instances that a balancer can reach.
func ids(b *balance.Balancer) (ids []string) {
	for _, p := range b.Explain().Peers {
		ids = append(ids, p.ID)
	}
	return ids
}

func TestTheBalancerKnowsWhoIsReadyOutOfHowManyAreListed(t *testing.T) {
	inMemory(t, func(w *world) {
		b := w.newBalancer(new(policy.RoundRobin))
		w.two(b, ClientConfig{})
		w.list("probe-2", "nobody:50051")
		w.start("probe-3", &probe{}, ServerConfig{}).SetServing(false)
		synctest.Wait()
		r := b.Explain()
		require.Equal(w, []string{"probe-0", "probe-1"}, ids(b))
		require.Equal(w, 4, r.Listed)
		require.Equal(w, "probe-1:50051", r.Peers[1].Addr)
	})
}

func TestOfTwoInstancesAtOneAddressTheNewerCounts(t *testing.T) {
	inMemory(t, func(w *world) {
		in := w.serve("probe-0", ServerConfig{}, func(s grpc.ServiceRegistrar) { probepb.RegisterProbeServer(s, &probe{}) })
		in.SetServing(true)
		began := time.Now()
		crashed := registry.Instance{ID: "z-crashed", Role: "probe", Addr: in.addr, Started: began}
		restarted := registry.Instance{ID: "a-restarted", Role: "probe", Addr: in.addr, Started: began.Add(time.Second)}
		sets := make(chan []registry.Instance)
		b := w.newBalancer(new(policy.RoundRobin))
		_, n := w.host("client")
		count := &counted{Network: n}
		conn := w.dialAs("client", ClientConfig{Balancer: b, Network: count, Registry: pushed{sets: sets}})
		conn.Connect()
		for range 5 { // gRPC turns the list by chance before it looks for doubles
			sets <- []registry.Instance{crashed}
			w.reach(conn)
			require.Equal(w, []string{"z-crashed"}, ids(b))
			sets <- []registry.Instance{restarted, crashed}
			synctest.Wait()
			require.Equal(w, []string{"a-restarted"}, ids(b))
			require.Equal(w, 1, b.Explain().Listed)
		}
		require.Equal(w, 10, count.dials(in.addr), "who comes after somebody is dialled anew: the old connection may be half open")
	})
}

func TestABalancerThatOutlivesItsClientIsLeftWithoutInstances(t *testing.T) {
	inMemory(t, func(w *world) {
		b := w.newBalancer(&first{})
		w.two(b, ClientConfig{})
		require.Len(w, ids(b), 2)
		conn := w.dialAs("client", ClientConfig{Balancer: b})
		require.NoError(w, conn.Close(), "it was never used")
		require.Len(w, ids(b), 2)
		conn = w.dialAs("client", ClientConfig{Balancer: b})
		w.reach(conn)
		require.NoError(w, conn.Close())
		require.Empty(w, ids(b))
	})
}

// The bubble would not end if what asks instances for their load were left.
func TestAClientsOwnBalancerEndsWithIt(t *testing.T) {
	inMemory(t, func(w *world) {
		w.start("probe-0", &probe{}, ServerConfig{})
		w.start("probe-1", &probe{}, ServerConfig{}) // the only instance would not be asked
		f := &first{}
		used := w.dialAs("client", ClientConfig{Balance: balance.Config{Policy: f}})
		w.reach(used)
		_, err := probepb.NewProbeClient(used).Read(w.Context(), &probepb.Request{})
		require.NoError(w, err)
		synctest.Wait()
		require.NotEmpty(w, f.loads, "nobody was asked: the test proves nothing")
		require.NoError(w, used.Close())
		require.NoError(w, w.dialAs("client", ClientConfig{Balance: balance.Config{Policy: &first{}}}).Close())
	})
}

func TestARegistryThatNeverAnsweredIsNamedInTheCause(t *testing.T) {
	inMemory(t, func(w *world) {
		r := pushed{errs: make(chan error)}
		conn := w.dialAs("client", ClientConfig{Registry: r})
		conn.Connect()
		r.errs <- errors.New("the registry is away")
		synctest.Wait()
		_, err := probepb.NewProbeClient(conn).Write(w.Context(), &probepb.Request{})
		requireRoleMissing(w, err, "probe can't be reached just now")
		require.ErrorContains(w, errors.Unwrap(err), "find probe: the registry is away")
	})
}

func TestAnInstanceThatRefusesConnectionsIsToldInTheCause(t *testing.T) {
	inMemory(t, func(w *world) {
		w.list("probe-0", "probe-0:50051") // nobody listens there
		conn := w.dial()
		conn.Connect()
		synctest.Wait() // the call is not to come before the list
		_, err := probepb.NewProbeClient(conn).Write(w.Context(), &probepb.Request{})
		requireRoleMissing(w, err, "probe can't be reached just now")
		require.ErrorContains(w, errors.Unwrap(err), "probe-0:50051")
	})
}

func TestTheClientIsAsReadyAsItsBestInstance(t *testing.T) {
	inMemory(t, func(w *world) {
		conn := w.dial()
		conn.Connect()
		synctest.Wait()
		require.Equal(w, connectivity.TransientFailure, conn.GetState(), "nobody is listed")
		w.list("probe-9", "nobody:50051")
		in := w.start("probe-0", &probe{}, ServerConfig{})
		synctest.Wait()
		require.Equal(w, connectivity.Ready, conn.GetState())
		in.SetServing(false)
		synctest.Wait()
		require.NotEqual(w, connectivity.Ready, conn.GetState())
	})
}

func TestHowACallEndedIsToldToTheBalancer(t *testing.T) {
	usual := &sharing{failures: failures()}
	own := &sharing{failures: []codes.Code{codes.NotFound}}
	sent := func(c codes.Code) balancer.DoneInfo {
		return balancer.DoneInfo{Err: status.Error(c, "x"), BytesSent: true}
	}
	for name, test := range map[string]struct {
		sharing *sharing
		done    balancer.DoneInfo
		want    balance.Outcome
	}{
		"an answer":                         {usual, balancer.DoneInfo{BytesSent: true, BytesReceived: true}, balance.OK},
		"the caller's own fault":            {usual, sent(codes.InvalidArgument), balance.OK},
		"unavailable":                       {usual, sent(codes.Unavailable), balance.Failed},
		"unknown":                           {usual, sent(codes.Unknown), balance.Failed},
		"internal":                          {usual, sent(codes.Internal), balance.Failed},
		"data loss":                         {usual, sent(codes.DataLoss), balance.Failed},
		"too late":                          {usual, sent(codes.DeadlineExceeded), balance.Failed},
		"too much":                          {usual, sent(codes.ResourceExhausted), balance.Failed},
		"the caller left":                   {usual, sent(codes.Canceled), balance.GivenUp},
		"gRPC picks again":                  {usual, balancer.DoneInfo{}, balance.GivenUp},
		"the connection was lost before":    {usual, balancer.DoneInfo{Err: status.Error(codes.Unavailable, "x")}, balance.GivenUp},
		"too late to be sent":               {usual, balancer.DoneInfo{Err: status.Error(codes.DeadlineExceeded, "x")}, balance.Failed},
		"as configured, a failure":          {own, sent(codes.NotFound), balance.Failed},
		"as configured, no failure":         {own, sent(codes.Unavailable), balance.OK},
		"the caller left, as configured by": {&sharing{failures: []codes.Code{codes.Canceled}}, sent(codes.Canceled), balance.GivenUp},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, test.want, test.sharing.outcome(test.done)) })
	}
}

func TestTheCodesThatSpeakAgainstAnInstanceCanBeSet(t *testing.T) {
	inMemory(t, func(w *world) {
		w.start("probe-0", refusing(status.Error(codes.NotFound, "x")), ServerConfig{})
		b := w.newBalancer(new(policy.RoundRobin))
		conn := w.dialAs("client", ClientConfig{Balancer: b, Failures: []codes.Code{codes.NotFound}})
		w.reach(conn)
		_, err := probepb.NewProbeClient(conn).Write(w.Context(), &probepb.Request{})
		require.Equal(w, codes.NotFound, status.Code(err))
		require.EqualValues(w, 1, b.Explain().Peers[0].Failures)
	})
}

func TestNoCallStaysInFlightWhateverItsEnd(t *testing.T) {
	inMemory(t, func(w *world) {
		w.start("probe-0", &probe{answer: func(ctx context.Context, req *probepb.Request) (*probepb.Reply, error) {
			if req.GetText() == "hang" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return &probepb.Reply{}, nil
		}}, ServerConfig{})
		b := w.newBalancer(new(policy.RoundRobin))
		conn := w.dialAs("client", ClientConfig{Balancer: b})
		w.reach(conn)
		client := probepb.NewProbeClient(conn)
		ctx, cancel := context.WithCancel(w.Context())
		ended := make(chan error)
		go func() {
			_, err := client.Write(ctx, &probepb.Request{Text: "hang"})
			ended <- err
		}()
		synctest.Wait()
		require.Equal(w, 1, b.Explain().Peers[0].InFlight)
		cancel()
		require.Equal(w, codes.Canceled, status.Code(<-ended))
		_, err := client.Write(w.Context(), &probepb.Request{})
		require.NoError(w, err)
		stream, err := client.Chat(w.Context())
		require.NoError(w, err)
		require.Equal(w, 1, b.Explain().Peers[0].InFlight)
		require.NoError(w, stream.CloseSend())
		_, err = stream.Recv()
		require.Error(w, err)
		row := b.Explain().Peers[0]
		require.Zero(w, row.InFlight)
		require.EqualValues(w, 3, row.Calls)
		require.Zero(w, row.Failures)
	})
}

// fixed is a pick_first that is connected.
type fixed struct{}

func (fixed) Pick(balancer.PickInfo) (balancer.PickResult, error) { return balancer.PickResult{}, nil }

func pickerOf(n int) (picker, func()) {
	b := balance.New(balance.Config{Policy: policy.PeakEWMA{}, Seed: 1})
	var up []balance.Endpoint
	for i := range n {
		up = append(up, balance.Endpoint{Instance: registry.Instance{ID: string(rune('a' + i))}, Via: fixed{}})
	}
	b.Update(up, n)
	return picker{&sharing{balancer: b, failures: failures()}}, b.Close
}

func TestAPickAllocatesNothing(t *testing.T) {
	p, end := pickerOf(10)
	defer end()
	info := balancer.PickInfo{FullMethodName: "/x/y", Ctx: t.Context()}
	done := balancer.DoneInfo{BytesSent: true, BytesReceived: true}
	got := testing.AllocsPerRun(1000, func() {
		r, err := p.Pick(info)
		if err != nil {
			t.Fatal(err)
		}
		r.Done(done)
	})
	if !raceEnabled() {
		require.Zero(t, got)
	}
}

// raceEnabled tells whether sync.Pool drops things on purpose, as it does under
// the race detector.
func raceEnabled() bool {
	var p sync.Pool
	for range 100 {
		p.Put(new(int))
		if p.Get() == nil {
			return true
		}
	}
	return false
}

// BenchmarkPick is a pick and its end, as gRPC asks for it.
func BenchmarkPick(b *testing.B) {
	p, end := pickerOf(10)
	defer end()
	info := balancer.PickInfo{FullMethodName: "/x/y", Ctx: b.Context()}
	done := balancer.DoneInfo{BytesSent: true, BytesReceived: true}
	b.ReportAllocs()
	for b.Loop() {
		r, _ := p.Pick(info)
		r.Done(done)
	}
}
