package app

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"example.com/app/platform/auth/rule"
	"example.com/app/platform/identity"
	"example.com/app/platform/network"
	"example.com/app/platform/registry"
	"example.com/app/platform/rpc"
)

// secured is a client of a service whose method asks for a scope, over TCP or
// in memory, with certificates, tokens and rules, or without any.
func secured(b *testing.B, ground Fabric, listen string, security Security) func() {
	b.Helper()
	m := newMint(b)
	rules := rule.Table{"/grpc.testing.TestService/": {Scopes: []string{"go"}}}
	ctx, stop := context.WithCancel(context.Background())
	node, err := New(Config{
		Roles: []Role{
			{Name: "back", Callers: []string{"door"}, Rules: rules, New: func(*Env) (Service, error) { return new(echo), nil }},
			{Name: "issuer", Callers: []string{"*"}, New: func(*Env) (Service, error) { return m, nil }},
		},
		Run: map[string]int{"back": 1, "issuer": 1}, Fabric: ground, Security: security, GRPC: listen, HTTP: listen,
	})
	require.NoError(b, err)
	over := make(chan struct{})
	go func() { defer close(over); _ = node.Run(ctx) }()
	<-node.Started()
	reg, net := ground.Host("outside")
	cfg := rpc.ClientConfig{Role: "back", Registry: reg, Network: net}
	call := ctx
	if !security.Insecure {
		w := identity.NewWorkload(identity.WorkloadConfig{Role: "door", Source: security.Identity})
		go func() { _ = w.Run(ctx) }()
		require.Eventually(b, func() bool { return w.Ready() == nil }, time.Minute, time.Millisecond)
		cfg.Credentials = w.Client("back")
		call = metadata.AppendToOutgoingContext(ctx, rpc.Authorization, "Bearer "+m.sign(b, "http://localhost", "go"))
	}
	conn, err := rpc.Dial(cfg)
	require.NoError(b, err)
	b.Cleanup(func() { _ = conn.Close(); stop(); <-over })
	client := grpc_testing.NewTestServiceClient(conn)
	ask := func() {
		_, err := client.EmptyCall(call, new(grpc_testing.Empty), grpc.WaitForReady(true))
		require.NoError(b, err)
	}
	return ask
}

// BenchmarkSecured makes calls with and without certificates, token and rule by
// turns, over warm connections, and divides their processor time. An operation
// is one call of each.
func BenchmarkSecured(b *testing.B) {
	const turn = 100 // calls
	processor := func() time.Duration {
		var u syscall.Rusage
		require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	grounds := map[string]func() (Fabric, string){
		"memory": func() (Fabric, string) { return Memory(), ":0" },
		"tcp": func() (Fabric, string) {
			return One(registry.NewMemory().Host("here"), new(network.TCP)), "127.0.0.1:0"
		},
	}
	for _, name := range []string{"memory", "tcp"} {
		b.Run(name, func(b *testing.B) {
			var asks [2]func()
			for i, security := range []Security{{Insecure: true}, {Identity: identity.NewMemory(identity.MemoryConfig{})}} {
				ground, listen := grounds[name]()
				security.PublicURL = "http://localhost"
				asks[i] = secured(b, ground, listen, security)
			}
			var spent [2]time.Duration
			for done := -turn; done < b.N; done += turn { // the first turn warms up
				for i, ask := range asks {
					start := processor()
					for range turn {
						ask()
					}
					if done >= 0 {
						spent[i] += processor() - start
					}
				}
			}
			b.ReportMetric(float64(spent[1])/float64(spent[0]), "ratio")
			b.ReportMetric(float64(spent[0])/float64(b.N), "bare-ns/op")
		})
	}
}
