package rpc

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"example.com/app/platform/rpc/internal/probepb"
)

func TestStopLetsCallsEnd(t *testing.T) {
	inMemory(t, func(w *world) {
		p := &probe{answer: func(context.Context, *probepb.Request) (*probepb.Reply, error) {
			time.Sleep(2 * time.Second)
			return &probepb.Reply{}, nil
		}}
		in := w.start("probe-0", p, ServerConfig{})
		client := w.ready()
		ended := make(chan error, 1)
		go func() {
			_, err := client.Write(w.Context(), &probepb.Request{})
			ended <- err
		}()
		synctest.Wait()
		start := time.Now()
		require.Zero(w, in.Stop(w.Context()))
		require.Equal(w, 2*time.Second, time.Since(start))
		require.NoError(w, <-ended)
		require.NoError(w, <-in.ended)
	})
}

func TestLC5AConnectionThatSaysNothingDoesNotHoldStopUp(t *testing.T) {
	everyNetwork(t, func(w *world) {
		in := w.start("probe-0", &probe{}, ServerConfig{Handshake: time.Hour})
		_, net := w.host("stranger")
		c, err := net.Dial(w.Context(), in.addr)
		require.NoError(w, err)
		defer c.Close()
		_, err = w.ready().Write(w.Context(), &probepb.Request{}) // the stranger was let in before
		require.NoError(w, err)
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		require.Zero(w, in.Stop(ctx))
		require.NoError(w, ctx.Err())
		_, _ = io.Copy(io.Discard, c) // returns: the stranger is shown out
	})
}

func TestStopCutsWhatIsStuckAndCountsIt(t *testing.T) {
	inMemory(t, func(w *world) {
		p := &probe{answer: func(ctx context.Context, _ *probepb.Request) (*probepb.Reply, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		in := w.start("probe-0", p, ServerConfig{})
		client := w.ready()
		ended := make(chan error, 3)
		for range 3 {
			go func() {
				ctx, cancel := context.WithTimeout(w.Context(), time.Hour)
				defer cancel()
				_, err := client.Write(ctx, &probepb.Request{})
				ended <- err
			}()
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(w.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		require.Equal(w, 3, in.Stop(ctx))
		require.Equal(w, 5*time.Second, time.Since(start))
		for range 3 {
			require.Equal(w, codes.Unavailable, status.Code(<-ended))
		}
		require.Zero(w, in.InFlight())
	})
}

func TestAHandlerThatHeedsNothingDoesNotHoldStopUp(t *testing.T) {
	inMemory(t, func(w *world) {
		release := make(chan struct{})
		p := &probe{answer: func(context.Context, *probepb.Request) (*probepb.Reply, error) {
			<-release
			return &probepb.Reply{}, nil
		}}
		in := w.start("probe-0", p, ServerConfig{})
		defer close(release)
		client := w.ready()
		go func() { _, _ = client.Write(w.Context(), &probepb.Request{}) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(w.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		require.Equal(w, 1, in.Stop(ctx))
		require.LessOrEqual(w, time.Since(start), 7*time.Second)
	})
}

func TestLC5AnOpenHealthWatchDoesNotDelayStop(t *testing.T) {
	everyNetwork(t, func(w *world) {
		in := w.start("probe-0", &probe{}, ServerConfig{})
		conn := w.dial()
		w.reach(conn)
		watch, err := grpc_health_v1.NewHealthClient(conn).Watch(w.Context(), &grpc_health_v1.HealthCheckRequest{})
		require.NoError(w, err)
		_, err = watch.Recv()
		require.NoError(w, err)
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		require.Zero(w, in.Stop(ctx))
		require.Less(w, time.Since(start), 2*time.Second)
		_, err = watch.Recv()
		require.Equal(w, codes.Unavailable, status.Code(err))
	})
}

func TestGR7HealthTellsOfTheServerAndOfEachService(t *testing.T) {
	everyNetwork(t, func(w *world) {
		in := w.start("probe-0", &probe{}, ServerConfig{})
		// Not a client of ours, which heeds the health it is told.
		_, n := w.host("other")
		direct, err := grpc.NewClient("passthrough:///"+in.addr, grpc.WithContextDialer(n.Dial), insecurely())
		require.NoError(w, err)
		defer func() { _ = direct.Close() }()
		client := grpc_health_v1.NewHealthClient(direct)
		check := func(service string) (grpc_health_v1.HealthCheckResponse_ServingStatus, error) {
			res, err := client.Check(w.Context(), &grpc_health_v1.HealthCheckRequest{Service: service})
			return res.GetStatus(), err
		}
		for _, want := range []grpc_health_v1.HealthCheckResponse_ServingStatus{
			grpc_health_v1.HealthCheckResponse_SERVING, grpc_health_v1.HealthCheckResponse_NOT_SERVING,
		} {
			in.SetServing(want == grpc_health_v1.HealthCheckResponse_SERVING)
			for _, service := range []string{"", "probe.v1.Probe"} {
				got, err := check(service)
				require.NoError(w, err)
				require.Equal(w, want, got)
			}
		}
		_, err = check("no.such.Service")
		require.Equal(w, codes.NotFound, status.Code(err))
	})
}

func TestHealthIsNotServingUntilItIsSaid(t *testing.T) {
	inMemory(t, func(w *world) {
		in := w.serve("probe-0", ServerConfig{}, func(s grpc.ServiceRegistrar) { probepb.RegisterProbeServer(s, &probe{}) })
		synctest.Wait()
		for _, service := range []string{"", "probe.v1.Probe"} {
			res, err := in.health.Check(w.Context(), &grpc_health_v1.HealthCheckRequest{Service: service})
			require.NoError(w, err)
			require.Equal(w, grpc_health_v1.HealthCheckResponse_NOT_SERVING, res.GetStatus())
		}
		require.Equal(w, []string{"probe.v1.Probe"}, in.Services())
	})
}

func TestGR7HealthListsNothing(t *testing.T) {
	inMemory(t, func(w *world) {
		w.start("probe-0", &probe{}, ServerConfig{})
		conn := w.dial()
		w.reach(conn)
		_, err := grpc_health_v1.NewHealthClient(conn).List(w.Context(), &grpc_health_v1.HealthListRequest{})
		require.Equal(w, codes.Unimplemented, status.Code(err))
	})
}

func TestGR7AWatchOfAnUnknownServiceSaysSo(t *testing.T) {
	inMemory(t, func(w *world) {
		w.start("probe-0", &probe{}, ServerConfig{})
		conn := w.dial()
		w.reach(conn)
		watch, err := grpc_health_v1.NewHealthClient(conn).Watch(w.Context(), &grpc_health_v1.HealthCheckRequest{Service: "no.such.Service"})
		require.NoError(w, err)
		res, err := watch.Recv()
		require.NoError(w, err)
		require.Equal(w, grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN, res.GetStatus())
	})
}
