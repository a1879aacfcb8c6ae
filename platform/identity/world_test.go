package identity_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"example.com/app/platform/identity"
	"example.com/app/platform/network"
)

// hold returns a workload of a role that holds its certificate.
func hold(t testing.TB, s identity.Source, role string) *identity.Workload {
	t.Helper()
	return running(t, identity.WorkloadConfig{Role: role, Source: s})
}

func running(t testing.TB, c identity.WorkloadConfig) *identity.Workload {
	t.Helper()
	w := identity.NewWorkload(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	require.Eventually(t, func() bool { return w.Ready() == nil }, 5*time.Second, time.Millisecond)
	return w
}

// A caller notes who called last.
type caller struct {
	healthpb.UnimplementedHealthServer

	mu   sync.Mutex
	seen []identity.ID
	slow time.Duration
}

func (c *caller) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	id, _ := identity.Peer(ctx)
	c.mu.Lock()
	c.seen = append(c.seen, id)
	c.mu.Unlock()
	if c.slow > 0 {
		time.Sleep(c.slow)
	}
	return &healthpb.HealthCheckResponse{}, nil
}

func (c *caller) last() identity.ID {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.seen) == 0 {
		return identity.ID{}
	}
	return c.seen[len(c.seen)-1]
}

// serve answers gRPC calls on l until the test ends.
func serve(t testing.TB, l net.Listener, creds credentials.TransportCredentials) *caller {
	t.Helper()
	s := grpc.NewServer(grpc.Creds(creds))
	c := &caller{}
	healthpb.RegisterHealthServer(s, c)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return c
}

// client returns a client of addr on a network.
func client(t testing.TB, n network.Network, addr string, creds credentials.TransportCredentials) healthpb.HealthClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:"+addr, grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return n.Dial(ctx, addr) }))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return healthpb.NewHealthClient(conn)
}

// check makes a call.
func check(t testing.TB, c healthpb.HealthClient) error {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := c.Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}

// nets runs a test over TCP and in memory.
func nets(t *testing.T, test func(t *testing.T, n network.Network, addr string)) {
	t.Run("tcp", func(t *testing.T) { test(t, &network.TCP{}, "127.0.0.1:0") })
	t.Run("memory", func(t *testing.T) { test(t, network.NewMemory().Host("here"), "here:7000") })
}

func listen(t testing.TB, n network.Network, addr string) net.Listener {
	t.Helper()
	l, err := n.Listen(t.Context(), addr)
	require.NoError(t, err)
	return l
}

// ask makes a call that may take a while.
func ask(t testing.TB, c healthpb.HealthClient) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := c.Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}
