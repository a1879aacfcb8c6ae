package rpc

import (
	"context"
	"testing"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	"google.golang.org/grpc/interop/grpc_testing"
)

func insecurely() grpc.DialOption { return grpc.WithTransportCredentials(insecure.NewCredentials()) }

// gRPC's own interop cases, through every interceptor of server and client.
// They end the process where they fail.
func TestGR10TheInteropCasesOfGRPCPass(t *testing.T) {
	for name, test := range map[string]func(context.Context, grpc_testing.TestServiceClient, ...grpc.CallOption){
		"empty_unary":                 interop.DoEmptyUnaryCall,
		"large_unary":                 interop.DoLargeUnaryCall,
		"client_streaming":            interop.DoClientStreaming,
		"server_streaming":            interop.DoServerStreaming,
		"ping_pong":                   interop.DoPingPong,
		"empty_stream":                interop.DoEmptyStream,
		"timeout_on_sleeping_server":  interop.DoTimeoutOnSleepingServer,
		"cancel_after_begin":          interop.DoCancelAfterBegin,
		"cancel_after_first_response": interop.DoCancelAfterFirstResponse,
		"custom_metadata":             interop.DoCustomMetadata,
		"status_code_and_message":     interop.DoStatusCodeAndMessage,
		"special_status_message":      interop.DoSpecialStatusMessage,
	} {
		t.Run(name, func(t *testing.T) {
			everyNetwork(t, func(w *world) {
				test(w.Context(), grpc_testing.NewTestServiceClient(w.interop()))
			})
		})
	}
	t.Run("unimplemented_method", func(t *testing.T) {
		everyNetwork(t, func(w *world) { interop.DoUnimplementedMethod(w.Context(), w.interop()) })
	})
	t.Run("unimplemented_service", func(t *testing.T) {
		everyNetwork(t, func(w *world) {
			interop.DoUnimplementedService(w.Context(), grpc_testing.NewUnimplementedServiceClient(w.interop()))
		})
	})
}

// interop is a client of gRPC's test service, metrics and all.
func (w *world) interop() *grpc.ClientConn {
	w.Helper()
	w.startAll("probe-0", ServerConfig{Metrics: grpcprom.NewServerMetrics()}, func(s grpc.ServiceRegistrar) {
		grpc_testing.RegisterTestServiceServer(s, interop.NewTestServer())
	})
	conn := w.dialAs("client", ClientConfig{Metrics: grpcprom.NewClientMetrics()})
	w.reach(conn)
	return conn
}
