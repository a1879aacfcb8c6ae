package networktest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

func httpRuns(t *testing.T, hosts Hosts) {
	l := listen(t, hosts.Host("server"), anywhere)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = fmt.Fprintf(w, "%s %s %d", r.Method, r.URL.Path, len(body))
	})}
	var serving work
	serving.Go(func() error { return server.Serve(l) })

	transport := &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		return hosts.Host("client").Dial(ctx, addr)
	}}
	client := &http.Client{Transport: transport}
	for i := range 3 { // over one connection, kept alive
		req, err := http.NewRequestWithContext(within(t), http.MethodPost,
			fmt.Sprintf("http://%s/%d", l.Addr(), i), strings.NewReader(strings.Repeat("x", large/16)))
		require.NoError(t, err)
		resp, err := client.Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, fmt.Sprintf("POST /%d %d", i, large/16), string(body))
	}
	transport.CloseIdleConnections()
	require.NoError(t, server.Shutdown(within(t)))
	require.ErrorIs(t, serving.Wait(), http.ErrServerClosed)
}

func grpcRuns(t *testing.T, hosts Hosts) {
	l := listen(t, hosts.Host("server"), anywhere)
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, health.NewServer())
	var serving work
	serving.Go(func() error { return server.Serve(l) })

	conn, err := grpc.NewClient("passthrough:///"+l.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(hosts.Host("client").Dial))
	require.NoError(t, err)
	client := healthpb.NewHealthClient(conn)
	reply, err := client.Check(within(t), &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
	require.NoError(t, err)
	require.Equal(t, healthpb.HealthCheckResponse_SERVING, reply.Status)

	watch, err := client.Watch(within(t), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	_, err = watch.Recv()
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	server.GracefulStop()
	if err := serving.Wait(); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		require.NoError(t, err)
	}
}
