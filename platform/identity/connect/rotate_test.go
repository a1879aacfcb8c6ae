package connect_test

import (
	"context"
	"crypto/x509"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"example.com/app/platform/identity"
	"example.com/app/platform/network"
)

// A holder answers at once, or when it may where it is asked for "held".
type holder struct {
	healthpb.UnimplementedHealthServer

	held    chan struct{} // gets one for each call that is held
	release chan struct{} // closed when they may be answered
}

func (h *holder) Check(ctx context.Context, in *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	if in.GetService() == "held" {
		h.held <- struct{}{}
		select {
		case <-h.release:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return &healthpb.HealthCheckResponse{}, nil
}

// holding is a workload with a certificate from an agent, until the test ends.
func holding(t *testing.T, source identity.Source, role string) *identity.Workload {
	t.Helper()
	w := identity.NewWorkload(identity.WorkloadConfig{Role: role, Source: source})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	require.Eventually(t, func() bool { return w.Ready() == nil }, 20*time.Second, 10*time.Millisecond)
	return w
}

// signer is the key that a workload's leaf is signed with.
func signer(t *testing.T, w *identity.Workload) string {
	t.Helper()
	chain, err := w.Chain()
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(chain[0])
	require.NoError(t, err)
	return string(leaf.AuthorityKeyId)
}

// TestNoCallIsLostWhileARealAgentsRootIsRotated changes the root under calls
// that are being answered, and asks over new connections all the while.
func TestNoCallIsLostWhileARealAgentsRootIsRotated(t *testing.T) {
	agent := hurried(t)
	ca, _ := open(t, agent)
	greeter, gateway := holding(t, ca, "greeter"), holding(t, ca, "gateway")
	tcp := new(network.TCP)
	l, err := tcp.Listen(t.Context(), "127.0.0.1:0")
	require.NoError(t, err)
	const inFlight = 20
	h := &holder{held: make(chan struct{}, inFlight), release: make(chan struct{})}
	server := grpc.NewServer(grpc.Creds(greeter.Server()))
	healthpb.RegisterHealthServer(server, h)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); require.NoError(t, <-served) })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dial := func() *grpc.ClientConn {
		conn, err := grpc.NewClient("passthrough:"+l.Addr().String(), grpc.WithTransportCredentials(gateway.Client("greeter")),
			grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return tcp.Dial(ctx, addr) }))
		require.NoError(t, err)
		return conn
	}
	ask := func(conn *grpc.ClientConn, service string) error {
		_, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: service})
		return err
	}

	long := dial()
	defer func() { _ = long.Close() }()
	answers := make(chan error, inFlight)
	var calls sync.WaitGroup
	defer calls.Wait()
	for range inFlight {
		calls.Go(func() { answers <- ask(long, "held") })
	}
	for range inFlight {
		<-h.held
	}
	fresh, pace := 0, time.NewTicker(10*time.Millisecond) // Consul needs the processor too
	defer pace.Stop()
	before, start := []string{signer(t, greeter), signer(t, gateway)}, time.Now()
	rotate(t, agent)
	for signer(t, greeter) == before[0] || signer(t, gateway) == before[1] {
		conn := dial()
		require.NoError(t, ask(conn, "new"), "after %d calls over new connections", fresh)
		require.NoError(t, conn.Close())
		require.NoError(t, ask(long, "old"))
		fresh++
		<-pace.C
	}
	took := time.Since(start)
	last := dial()
	require.NoError(t, ask(last, "new"), "both have the newest root")
	require.NoError(t, last.Close())
	close(h.release)
	for range inFlight {
		require.NoError(t, <-answers)
	}
	require.Equal(t, signer(t, greeter), signer(t, gateway))
	t.Logf("a new root after %v; %d calls over new connections, as many over one, and %d that outlasted it: none lost", took, fresh, inFlight)
}
