package hostile

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"example.com/app/platform/rpc"
)

// TestGW11AnAnswerOfABackendHasALimit has a role answer with more than its
// caller holds ready for one message. What is proxied is not held at all (GW10).
func TestGW11AnAnswerOfABackendHasALimit(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		conn, err := rpc.Dial(rpc.ClientConfig{Role: "interop", Registry: w.reg, Network: w.net})
		require.NoError(t, err)
		defer conn.Close()
		for size, want := range map[int32]codes.Code{3 << 20: codes.OK, 5 << 20: codes.ResourceExhausted} {
			_, err := grpc_testing.NewTestServiceClient(conn).UnaryCall(t.Context(), &grpc_testing.SimpleRequest{ResponseSize: size})
			require.Equal(t, want, status.Code(err), "%d bytes: %v", size, err)
		}
	})
}
