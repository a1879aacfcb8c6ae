package rpc

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"example.com/app/platform/errs"
	"example.com/app/platform/rpc/internal/probepb"
)

func TestG6OnlyUnavailableAndOnlyIdempotentMethodsAreRetried(t *testing.T) {
	for code, attempts := range map[codes.Code]int{
		codes.Unavailable:       4,
		codes.ResourceExhausted: 1,
		codes.Aborted:           1,
		codes.DeadlineExceeded:  1,
		codes.Internal:          1,
		codes.Unknown:           1,
	} {
		t.Run(code.String(), func(t *testing.T) {
			inMemory(t, func(w *world) {
				p := refusing(status.Error(code, "not now"))
				w.start("probe-0", p, ServerConfig{})
				client := w.ready()
				for _, call := range []func(context.Context, *probepb.Request, ...grpc.CallOption) (*probepb.Reply, error){client.Read, client.Put, client.Write} {
					_, err := call(w.Context(), &probepb.Request{})
					require.Equal(w, code, status.Code(err))
				}
				require.Equal(w, []int{attempts, attempts, 1}, []int{p.calls("Read"), p.calls("Put"), p.calls("Write")})
			})
		})
	}
}

func TestARetryFindsAnotherInstance(t *testing.T) {
	inMemory(t, func(w *world) {
		bad, good := refusing(errs.Unavailable.New("not now")), &probe{}
		w.start("probe-0", bad, ServerConfig{})
		w.start("probe-1", good, ServerConfig{})
		client := w.ready()
		for range 10 {
			_, err := client.Read(w.Context(), &probepb.Request{})
			require.NoError(w, err)
		}
		require.Positive(w, bad.calls())
		require.Equal(w, 10, good.calls())
	})
}

func TestRT1RetriesHaveABudget(t *testing.T) {
	inMemory(t, func(w *world) {
		p := refusing(errs.Unavailable.New("not now"))
		w.start("probe-0", p, ServerConfig{})
		client := w.ready()
		for range 200 {
			_, err := client.Read(w.Context(), &probepb.Request{})
			require.Equal(w, codes.Unavailable, status.Code(err))
		}
		require.LessOrEqual(w, p.calls(), 300)
		require.Greater(w, p.calls(), 200, "nothing was retried")
	})
}

func TestRT2AServerCanForbidARetry(t *testing.T) {
	inMemory(t, func(w *world) {
		p := &probe{answer: func(ctx context.Context, _ *probepb.Request) (*probepb.Reply, error) {
			require.NoError(w, grpc.SetTrailer(ctx, metadata.Pairs(pushbackKey, noRetry)))
			return nil, errs.Unavailable.New("not now")
		}}
		w.start("probe-0", p, ServerConfig{})
		_, err := w.ready().Read(w.Context(), &probepb.Request{})
		require.True(w, errs.Unavailable.Is(err))
		require.Equal(w, 1, p.calls())
	})
}

// Four attempts at each of three hops would be 64 deliveries.
func TestRT4AFailureFurtherDownIsRetriedWhereItHappenedOnly(t *testing.T) {
	inMemory(t, func(w *world) {
		p := refusing(errs.Unavailable.New("not now"))
		w.start("probe-0", p, ServerConfig{})
		through, middle := w.readRelay()
		_, err := through.Read(w.Context(), &probepb.Request{})
		require.True(w, errs.Unavailable.Is(err))
		require.Equal(w, []int{1, 4}, []int{middle.calls(), p.calls()})
	})
}

// readRelay is relay for the method that is retried.
func (w *world) readRelay() (probepb.ProbeClient, *probe) {
	w.Helper()
	next := probepb.NewProbeClient(w.dialAs("relay", ClientConfig{}))
	p := &probe{answer: func(ctx context.Context, req *probepb.Request) (*probepb.Reply, error) {
		return next.Read(ctx, req)
	}}
	return w.relayTo(p, ServerConfig{}), p
}

func TestTheAddressesOfAFailureFurtherDownStayHere(t *testing.T) {
	inMemory(t, func(w *world) {
		w.list("probe-0", "secret-host:50051") // nobody listens there
		log := &journal{}
		through := w.relayLogging(log)
		_, err := through.Write(w.Context(), &probepb.Request{})
		require.True(w, errs.Unavailable.Is(err))
		require.Equal(w, "ask the probe: probe can't be reached just now", status.Convert(err).Message())
		require.Len(w, status.Convert(err).Details(), 1)
		require.Len(w, log.lines("secret-host"), 1, "we want to know it")
	})
}

func TestTheServiceConfigSaysWhatWasMeant(t *testing.T) {
	text, err := ClientConfig{Role: "probe"}.defaultServiceConfig()
	require.NoError(t, err)
	var c serviceConfig
	require.NoError(t, json.Unmarshal([]byte(text), &c))
	require.Equal(t, []map[string]struct{}{{policyName: {}}}, c.LoadBalancing)
	require.Equal(t, map[string]string{"serviceName": "probe"}, c.Health)
	require.Len(t, c.Methods, 1)
	require.Equal(t, []string{"UNAVAILABLE"}, c.Methods[0].Retry.Codes)
}

func TestMethodsAreListedByTheirIdempotencyLevel(t *testing.T) {
	files := new(protoregistry.Files)
	require.NoError(t, files.RegisterFile(probepb.File_platform_rpc_internal_probepb_probe_proto))
	require.Contains(t, marked(files, descriptorpb.MethodOptions_NO_SIDE_EFFECTS), methodName{"probe.v1.Probe", "Read"})
	require.Equal(t, []methodName{{"probe.v1.Probe", "Put"}}, marked(files, descriptorpb.MethodOptions_IDEMPOTENT))
	require.Empty(t, marked(new(protoregistry.Files), descriptorpb.MethodOptions_IDEMPOTENT))
}

func TestRT2AMethodHasItsOwnNumberOfAttempts(t *testing.T) {
	for name, test := range map[string]struct {
		methods Methods
		hedge   Switch
		want    []int // of Read, Put and Write
	}{
		"as it comes":          {nil, Unset, []int{4, 4, 1}},
		"none":                 {Methods{"": {Attempts: 1}}, Unset, []int{1, 1, 1}},
		"of one method":        {Methods{"/probe.v1.Probe/Read": {Attempts: 2}, "/probe.v1.Probe/": {Attempts: 3}}, Unset, []int{2, 3, 1}},
		"a copy is one":        {nil, On, []int{3, 4, 1}},
		"where copies are off": {Methods{"/probe.v1.Probe/Read": {Hedge: Off}}, On, []int{4, 4, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, func(w *world) {
				p := refusing(status.Error(codes.Unavailable, "not now"))
				w.start("probe-0", p, ServerConfig{})
				conn := w.dialAs("client", ClientConfig{Methods: test.methods, Hedge: HedgeConfig{Hedge: test.hedge}})
				w.reach(conn)
				client := probepb.NewProbeClient(conn)
				for _, call := range []func(context.Context, *probepb.Request, ...grpc.CallOption) (*probepb.Reply, error){client.Read, client.Put, client.Write} {
					_, err := call(w.Context(), &probepb.Request{})
					require.Equal(w, codes.Unavailable, status.Code(err))
				}
				require.Equal(w, test.want, []int{p.calls("Read"), p.calls("Put"), p.calls("Write")})
			})
		})
	}
}
