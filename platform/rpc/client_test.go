package rpc

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"example.com/app/platform/errs"
	"example.com/app/platform/registry"
	"example.com/app/platform/rpc/internal/probepb"
)

func TestCallsTakeTurnsOverAllInstances(t *testing.T) {
	everyNetwork(t, func(w *world) {
		probes := []*probe{{}, {}, {}}
		for i, p := range probes {
			w.start(fmt.Sprintf("probe-%d", i), p, ServerConfig{})
		}
		client := w.ready()
		require.Eventually(w, func() bool {
			_, err := client.Read(w.Context(), &probepb.Request{})
			require.NoError(w, err)
			return probes[0].calls() > 0 && probes[1].calls() > 0 && probes[2].calls() > 0
		}, 10*time.Second, time.Millisecond)
		if w.memory == nil {
			return // over TCP they are not equally fast for long
		}
		before := []int{probes[0].calls(), probes[1].calls(), probes[2].calls()}
		for range 30 {
			_, err := client.Read(w.Context(), &probepb.Request{})
			require.NoError(w, err)
		}
		for i, p := range probes {
			require.InDelta(w, 10, p.calls()-before[i], 1, "equal instances take turns")
		}
	})
}

func TestG1TwoSystemsInOneProcessDoNotSeeEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, other := newWorld(t), newWorld(t)
		mine, theirs := &probe{}, &probe{}
		one.start("probe-0", mine, ServerConfig{})
		other.start("probe-0", theirs, ServerConfig{})
		a, b := one.ready(), other.ready()
		for range 5 {
			_, err := a.Read(t.Context(), &probepb.Request{})
			require.NoError(t, err)
		}
		_, err := b.Read(t.Context(), &probepb.Request{})
		require.NoError(t, err)
		require.Equal(t, []int{5, 1}, []int{mine.calls(), theirs.calls()})
	})
}

func TestG5AMissingRoleIsNamedAtOnce(t *testing.T) {
	inMemory(t, func(w *world) {
		client := probepb.NewProbeClient(w.dial())
		start := time.Now()
		_, err := client.Write(w.Context(), &probepb.Request{})
		require.Less(w, time.Since(start), time.Second)
		requireRoleMissing(w, err, "probe has no instance in the registry")
	})
}

func TestAnInstanceThatCannotBeReachedIsToldWithoutItsAddress(t *testing.T) {
	inMemory(t, func(w *world) {
		w.list("probe-0", "probe-0:50051")
		_, err := probepb.NewProbeClient(w.dial()).Write(w.Context(), &probepb.Request{})
		requireRoleMissing(w, err, "probe can't be reached just now")
	})
}

func requireRoleMissing(t require.TestingT, err error, message string) {
	s, ok := status.FromError(err)
	require.True(t, ok)
	require.Equal(t, codes.Unavailable, s.Code())
	require.Equal(t, message, s.Message())
	require.Len(t, s.Details(), 1)
	info := s.Details()[0].(*errdetails.ErrorInfo)
	require.Equal(t, "ROLE_UNAVAILABLE", info.GetReason())
	require.Equal(t, errs.Domain, info.GetDomain())
	require.Equal(t, map[string]string{"role": "probe"}, info.GetMetadata())
}

func TestG5AUnaryCallHasADeadlineWithoutBeingAsked(t *testing.T) {
	for name, test := range map[string]struct{ configured, callers, want time.Duration }{
		"the default":               {0, 0, 10 * time.Second},
		"the client's":              {3 * time.Second, 0, 3 * time.Second},
		"the caller's, shorter":     {0, time.Second, time.Second},
		"the caller's, though long": {0, time.Minute, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, func(w *world) {
				w.start("probe-0", &probe{answer: func(ctx context.Context, _ *probepb.Request) (*probepb.Reply, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}}, ServerConfig{})
				conn := w.dialAs("client", ClientConfig{Timeout: test.configured})
				w.reach(conn)
				ctx := w.Context()
				if test.callers > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.callers)
					defer cancel()
				}
				start := time.Now()
				_, err := probepb.NewProbeClient(conn).Write(ctx, &probepb.Request{})
				require.Equal(w, codes.DeadlineExceeded, status.Code(err))
				require.InDelta(w, test.want, time.Since(start), float64(50*time.Millisecond))
			})
		})
	}
}

func TestRT5TheRemainingDeadlineReachesTheLastHop(t *testing.T) {
	inMemory(t, func(w *world) {
		var left time.Duration
		w.start("last", &probe{answer: func(ctx context.Context, _ *probepb.Request) (*probepb.Reply, error) {
			end, ok := ctx.Deadline()
			require.True(w, ok)
			left = time.Until(end)
			return &probepb.Reply{}, nil
		}}, ServerConfig{})
		through := w.relay(func() { time.Sleep(2 * time.Second) })
		ctx, cancel := context.WithTimeout(w.Context(), 5*time.Second)
		defer cancel()
		_, err := through.Write(ctx, &probepb.Request{})
		require.NoError(w, err)
		require.InDelta(w, 3*time.Second, left, float64(50*time.Millisecond))
	})
}

// relay is a client of a role between the caller and "probe", which does
// something before it asks on.
func (w *world) relay(before func()) probepb.ProbeClient {
	w.Helper()
	return w.relayTo(w.asking(before), ServerConfig{})
}

// relayLogging is relay with a log.
func (w *world) relayLogging(log *journal) probepb.ProbeClient {
	w.Helper()
	return w.relayTo(w.asking(func() {}), ServerConfig{Log: log.logger()})
}

// asking answers a call by asking "probe".
func (w *world) asking(before func()) *probe {
	w.Helper()
	next := probepb.NewProbeClient(w.dialAs("relay", ClientConfig{}))
	return &probe{answer: func(ctx context.Context, req *probepb.Request) (*probepb.Reply, error) {
		before()
		reply, err := next.Write(ctx, req)
		if err != nil {
			return nil, fmt.Errorf("ask the probe: %w", err)
		}
		return reply, nil
	}}
}

// relayTo serves p as the role "relay", and is its client.
func (w *world) relayTo(p *probe, cfg ServerConfig) probepb.ProbeClient {
	w.Helper()
	cfg.Role = "relay"
	in := w.serve("relay", cfg, func(s grpc.ServiceRegistrar) { probepb.RegisterProbeServer(s, p) })
	in.SetServing(true)
	conn := w.dialAs("client", ClientConfig{Role: "relay", Registry: registry.Static{{ID: "relay", Role: "relay", Addr: in.addr}}})
	w.reach(conn)
	return probepb.NewProbeClient(conn)
}

func TestTheRequestIDFollowsACallFromHopToHop(t *testing.T) {
	inMemory(t, func(w *world) {
		var got []string
		w.start("probe-0", &probe{answer: func(ctx context.Context, _ *probepb.Request) (*probepb.Reply, error) {
			got = requestID(ctx)
			return &probepb.Reply{}, nil
		}}, ServerConfig{})
		through := w.relay(func() {})
		_, err := through.Write(metadata.AppendToOutgoingContext(w.Context(), RequestID, "r-1"), &probepb.Request{})
		require.NoError(w, err)
		require.Equal(w, []string{"r-1"}, got)
		_, err = through.Write(w.Context(), &probepb.Request{})
		require.NoError(w, err)
		require.Empty(w, got)
	})
}

func TestARequestIDOfTheHandlersOwnIsKept(t *testing.T) {
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(RequestID, "theirs"))
	ctx = handOn(metadata.AppendToOutgoingContext(ctx, RequestID, "mine"))
	out, _ := metadata.FromOutgoingContext(ctx)
	require.Equal(t, []string{"mine"}, out.Get(RequestID))
}

func TestG2ASetWithTheSameAddressesDoesNotReconnect(t *testing.T) {
	inMemory(t, func(w *world) {
		in := w.serve("probe-0", ServerConfig{}, func(s grpc.ServiceRegistrar) { probepb.RegisterProbeServer(s, &probe{}) })
		in.SetServing(true)
		_, n := w.host("client")
		count := &counted{Network: n}
		sets := make(chan []registry.Instance)
		conn := w.dialAs("client", ClientConfig{Network: count, Registry: pushed{sets: sets}})
		conn.Connect()
		for version := range 5 {
			sets <- []registry.Instance{{ID: "probe-0", Role: "probe", Addr: in.addr, Version: fmt.Sprint(version), Weight: version}}
			synctest.Wait()
			_, err := probepb.NewProbeClient(conn).Read(w.Context(), &probepb.Request{})
			require.NoError(w, err)
		}
		require.Equal(w, 1, count.dials(in.addr))
	})
}

func TestAnInstanceThatReturnsAtItsAddressIsReachedSoon(t *testing.T) {
	inMemory(t, func(w *world) {
		register := func(s grpc.ServiceRegistrar) { probepb.RegisterProbeServer(s, &probe{}) }
		in := w.serve("probe-0", ServerConfig{}, register)
		in.SetServing(true)
		conn := w.dialAs("client", ClientConfig{Registry: registry.Static{{ID: "a", Role: "probe", Addr: in.addr}}})
		w.reach(conn)
		w.memory.Crash("probe-0")
		time.Sleep(10 * time.Minute) // long enough for any backoff to reach its most
		w.memory.Restore("probe-0")
		w.serve("probe-0", ServerConfig{}, register).SetServing(true)
		back := time.Now()
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		_, err := probepb.NewProbeClient(conn).Read(ctx, &probepb.Request{}, grpc.WaitForReady(true))
		require.NoError(w, err)
		require.LessOrEqual(w, time.Since(back), 5*time.Second)
	})
}

func TestASilentPeerIsNoticedByKeepalive(t *testing.T) {
	inMemory(t, func(w *world) {
		w.start("probe-0", &probe{}, ServerConfig{})
		_, n := w.host("client")
		silent := make(chan struct{})
		conn := w.dialAs("client", ClientConfig{Network: deaf{n, silent}})
		w.reach(conn)
		close(silent)
		start := time.Now()
		ctx, cancel := context.WithTimeout(w.Context(), 5*time.Minute)
		defer cancel()
		require.True(w, conn.WaitForStateChange(ctx, connectivity.Ready))
		require.LessOrEqual(w, time.Since(start), 45*time.Second)
	})
}

func TestWaitReadySaysThatAClientIsClosed(t *testing.T) {
	inMemory(t, func(w *world) {
		conn := w.dial()
		require.NoError(w, conn.Close())
		require.Error(w, WaitReady(w.Context(), conn))
	})
}

func TestWaitReadyEndsWithItsContext(t *testing.T) {
	inMemory(t, func(w *world) {
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		require.ErrorIs(w, WaitReady(ctx, w.dial()), context.DeadlineExceeded)
	})
}

func TestAStreamIsMarkedWhereItsRoleIsMissing(t *testing.T) {
	inMemory(t, func(w *world) {
		stream, err := probepb.NewProbeClient(w.dial()).Chat(w.Context())
		if err == nil {
			_, err = stream.Recv()
		}
		requireRoleMissing(w, err, "probe has no instance in the registry")
		require.ErrorAs(w, err, new(downstream))
	})
}

func TestOnlyUnavailableIsMarked(t *testing.T) {
	c := &client{role: "probe"}
	require.NoError(t, c.mark(nil))
	plain := errors.New("plain")
	require.Equal(t, plain, c.mark(plain))
	other := status.Error(codes.NotFound, "x")
	require.Equal(t, other, c.mark(other))
	kept := errs.Unavailable.New("busy, come later").Because("BUSY")
	require.Equal(t, "busy, come later", status.Convert(c.mark(kept.GRPCStatus().Err())).Message())
}
