package rpc

import (
	"context"
	"syscall"
	"testing"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"example.com/app/platform/network"
	"example.com/app/platform/registry"
	"example.com/app/platform/rpc/internal/probepb"
)

// A ground is a network to measure on.
type ground struct {
	name, listen   string
	server, client network.Network
}

func grounds() []ground {
	tcp, memory := &network.TCP{}, network.NewMemory()
	return []ground{
		{"tcp", "127.0.0.1:0", tcp, tcp},
		{"memory", ":0", memory.Host("server"), memory.Host("client")},
	}
}

// bare is gRPC as it comes.
func (g ground) bare(b *testing.B) probepb.ProbeClient { return g.plain(b) }

// timed is gRPC as it comes, each call with the deadline that ours have too.
func (g ground) timed(b *testing.B) probepb.ProbeClient {
	return g.plain(b, grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		return invoke(ctx, method, req, reply, conn, opts...)
	}))
}

func (g ground) plain(b *testing.B, opts ...grpc.DialOption) probepb.ProbeClient {
	b.Helper()
	ln, err := g.server.Listen(b.Context(), g.listen)
	require.NoError(b, err)
	s := grpc.NewServer()
	probepb.RegisterProbeServer(s, &probe{})
	go func() { _ = s.Serve(ln) }()
	b.Cleanup(s.Stop)
	conn, err := grpc.NewClient("passthrough:///"+ln.Addr().String(), append(opts, grpc.WithContextDialer(g.client.Dial), insecurely())...)
	require.NoError(b, err)
	b.Cleanup(func() { _ = conn.Close() })
	return probepb.NewProbeClient(conn)
}

// whole is the same through everything that a role's calls go through.
func (g ground) whole(b *testing.B) probepb.ProbeClient {
	b.Helper()
	ln, err := g.server.Listen(b.Context(), g.listen)
	require.NoError(b, err)
	s := NewServer(ServerConfig{Role: "probe", Metrics: grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram())})
	probepb.RegisterProbeServer(s, &probe{})
	go func() { _ = s.Serve(ln) }()
	s.SetServing(true)
	b.Cleanup(func() { s.Stop(context.Background()) })
	conn, err := Dial(ClientConfig{
		Role: "probe", Network: g.client,
		Registry: registry.Static{{ID: "a", Role: "probe", Addr: ln.Addr().String()}},
		Metrics:  grpcprom.NewClientMetrics(grpcprom.WithClientHandlingTimeHistogram()),
	})
	require.NoError(b, err)
	b.Cleanup(func() { _ = conn.Close() })
	require.NoError(b, WaitReady(b.Context(), conn))
	return probepb.NewProbeClient(conn)
}

func ask(b *testing.B, client probepb.ProbeClient, req *probepb.Request) {
	if _, err := client.Read(b.Context(), req); err != nil {
		b.Fatal(err)
	}
}

func question() *probepb.Request { return &probepb.Request{Text: "ada", Body: make([]byte, 100)} }

// processor is the processor time that the process has used.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkUnary is one call after the other, with and without the platform.
func BenchmarkUnary(b *testing.B) {
	for _, g := range grounds() {
		for name, client := range map[string]func(*testing.B) probepb.ProbeClient{"bare": g.bare, "timed": g.timed, "whole": g.whole} {
			b.Run(g.name+"/"+name, func(b *testing.B) {
				c, req := client(b), question()
				ask(b, c, req)
				b.ReportAllocs()
				b.ResetTimer()
				start := processor(b)
				for range b.N {
					ask(b, c, req)
				}
				b.ReportMetric(float64(processor(b)-start)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// BenchmarkRatio makes calls with and without the platform by turns, so that
// the machine's moods fall on all, and divides their processor time: by that of
// bare calls, and of bare calls with a deadline. An operation is one call of
// each.
func BenchmarkRatio(b *testing.B) {
	const turn = 100 // calls
	for _, g := range grounds() {
		b.Run(g.name, func(b *testing.B) {
			clients, req := []probepb.ProbeClient{g.bare(b), g.timed(b), g.whole(b)}, question()
			spent := make([]time.Duration, len(clients))
			for done := -turn; done < b.N; done += turn { // the first turn warms up
				for i, c := range clients {
					start := processor(b)
					for range turn {
						ask(b, c, req)
					}
					if done >= 0 {
						spent[i] += processor(b) - start
					}
				}
			}
			bare, timed, whole := float64(spent[0]), float64(spent[1]), float64(spent[2])
			b.ReportMetric(whole/bare, "ratio")
			b.ReportMetric(whole/timed, "ratio-same-deadline")
		})
	}
}
