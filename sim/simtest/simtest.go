// Package simtest is a small system for the tests of the simulator.
package simtest

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"

	"example.com/app/platform/app"
	"example.com/app/platform/auth/rule"
	"example.com/app/platform/transcode"
	"example.com/app/sim/fleet"
	"example.com/app/sim/load"
)

// Echo is the greeter of these tests.
type Echo struct {
	grpc_testing.UnimplementedTestServiceServer
}

// Register adds the service.
func (e Echo) Register(s grpc.ServiceRegistrar) { grpc_testing.RegisterTestServiceServer(s, e) }

// EmptyCall answers at once.
func (Echo) EmptyCall(context.Context, *grpc_testing.Empty) (*grpc_testing.Empty, error) {
	return new(grpc_testing.Empty), nil
}

// door is their gateway: it asks the greeter, and says who it is.
type door struct {
	greeter grpc_testing.TestServiceClient
	host    string
}

func (*door) Register(grpc.ServiceRegistrar) {}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var err error
	for range 3 { // the call may be repeated, and somebody may just have crashed
		if _, err = d.greeter.EmptyCall(r.Context(), new(grpc_testing.Empty)); err == nil {
			fmt.Fprint(w, d.host)
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-r.Context().Done():
		}
	}
	transcode.WriteError(w, r, err)
}

// Workloads may call the service of these roles, whoever they are.
var Workloads = rule.Table{"/grpc.testing.TestService/": {Peers: []string{"*"}}}

// System is two roles that users can ask.
func System() []app.Role {
	return []app.Role{
		{Name: "gateway", Edge: true, New: func(env *app.Env) (app.Service, error) {
			conn, err := env.Dial("greeter")
			return &door{grpc_testing.NewTestServiceClient(conn), env.Instance}, err
		}},
		{Name: "greeter", Replicas: 2, Callers: []string{"gateway"}, Rules: Workloads, Load: []string{"GET /a", "GET /b"}, New: func(*app.Env) (app.Service, error) { return Echo{}, nil }},
		{Name: "spare", Extra: true, Rules: Workloads, New: func(*app.Env) (app.Service, error) { return Echo{}, nil }},
	}
}

// Bubble runs a test under virtual time. What it leaves behind fails it.
func Bubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// Fleet is one in memory, which is closed when the test ends.
func Fleet(t *testing.T, cfg app.Config) (*fleet.Fleet, *app.MemoryFabric) {
	t.Helper()
	ground := app.Memory()
	if cfg.Roles == nil {
		cfg.Roles = System()
	}
	f := fleet.New(ground, cfg)
	t.Cleanup(func() { _ = f.Close() })
	return f, ground
}

// Start starts hosts one after the other.
func Start(t *testing.T, f *fleet.Fleet, names ...string) {
	t.Helper()
	for _, name := range names {
		require.NoError(t, f.Start(t.Context(), name))
	}
}

// User is somebody outside, who follows the gateways until the test ends.
func User(t *testing.T, ground app.Fabric) *load.User {
	t.Helper()
	reg, net := ground.Host("user")
	u := load.NewUser(net, 10*time.Second)
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		u.Run(ctx, reg)
	}()
	t.Cleanup(func() { stop(); <-over })
	return u
}
