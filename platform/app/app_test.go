package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop/grpc_testing"

	"example.com/app/platform/auth/rule"
	"example.com/app/platform/network"
	"example.com/app/platform/registry"
	"example.com/app/platform/rpc"
)

// echo is a gRPC role. Each of its fields but the first may be nil.
type echo struct {
	grpc_testing.UnimplementedTestServiceServer
	call  func(context.Context) error // answers a call
	check func() error
	run   func(context.Context) error
}

func (e *echo) Register(s grpc.ServiceRegistrar) { grpc_testing.RegisterTestServiceServer(s, e) }

func (e *echo) EmptyCall(ctx context.Context, _ *grpc_testing.Empty) (*grpc_testing.Empty, error) {
	if e.call != nil {
		if err := e.call(ctx); err != nil {
			return nil, err
		}
	}
	return new(grpc_testing.Empty), nil
}

func (e *echo) Check() error {
	if e.check == nil {
		return nil
	}
	return e.check()
}

func (e *echo) Run(ctx context.Context) error {
	if e.run == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	return e.run(ctx)
}

// web is an HTTP role.
type web struct{ http.Handler }

func (web) Register(grpc.ServiceRegistrar) {}

// anybody may call the service that the roles of these tests have.
var anybody = rule.Table{"/grpc.testing.TestService/": {Public: true}}

// serves is a role of one service, which dials other roles.
func serves(name string, s Service, dials ...string) Role {
	return Role{Name: name, Edge: true, Rules: anybody, New: func(env *Env) (Service, error) {
		for _, role := range dials {
			if _, err := env.Dial(role); err != nil {
				return nil, err
			}
		}
		return s, nil
	}}
}

func greeting(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }

// A journal is what happened, in order, a line each.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, "\n")
}

// watched is a fabric whose registry tells the journal what it is asked for,
// and how the instance says it is at that moment.
type watched struct {
	Fabric
	*journal
	leave func() error // in place of a plain deregistration; nil: plain
}

func (f watched) Host(name string) (registry.Registry, network.Network) {
	reg, net := f.Fabric.Host(name)
	return watchedRegistry{reg, f, net}, net
}

type watchedRegistry struct {
	registry.Registry
	watched
	net network.Network
}

func (r watchedRegistry) Register(ctx context.Context, in registry.Registration) error {
	host := in.Meta["host"]
	r.note("%s: register, %s", host, status(r.net, in.Addr))
	within, leave := context.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, func() {
		r.note("%s: deregister, %s", host, status(r.net, in.Addr))
		leave()
	})
	defer stop()
	err := r.Registry.Register(within, in)
	if r.leave != nil {
		err = r.leave()
	}
	return err
}

// status is what the health service at an address says.
func status(net network.Network, addr string) string {
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithContextDialer(net.Dial), insecureTransport())
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	res, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, new(grpc_health_v1.HealthCheckRequest))
	if err != nil {
		return "no answer"
	}
	return res.GetStatus().String()
}

// A subject is a node that runs in a test.
type subject struct {
	*Node
	t     *testing.T
	stop  context.CancelFunc
	ended chan struct{}
	err   error // what Run returned; read after ended
}

// launch runs a node with all of the roles, one instance each unless cfg says
// otherwise. Where cfg says nothing of security there is none.
func launch(t *testing.T, cfg Config) *subject {
	t.Helper()
	if cfg.Run == nil {
		cfg.Run = make(map[string]int)
		for _, r := range cfg.Roles {
			cfg.Run[r.Name] = 1
		}
	}
	if cfg.Security.Identity == nil {
		cfg.Security.Insecure = true
	}
	node, err := New(cfg)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	s := &subject{Node: node, t: t, stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		s.err = node.Run(ctx)
	}()
	t.Cleanup(func() { // also after a failure: a bubble wants everybody out
		node.Kill()
		stop()
		<-s.ended
	})
	return s
}

// start is launch, and returns when the node has started.
func start(t *testing.T, cfg Config) *subject {
	t.Helper()
	s := launch(t, cfg)
	select {
	case <-s.Started():
	case <-s.ended:
		require.FailNow(t, "the node ended before it had started", "%v", s.err)
	}
	return s
}

// end stops the node and returns what Run did, and how long that took.
func (s *subject) end() (time.Duration, error) {
	begin := time.Now()
	s.stop()
	<-s.ended
	return time.Since(begin), s.err
}

// has reports whether the node has started.
func (s *subject) has() bool {
	select {
	case <-s.Started():
		return true
	default:
		return false
	}
}

// bubble runs a test under virtual time. What it leaves behind fails it.
func bubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// outside is somebody who calls the roles of a fabric over gRPC.
func outside(t *testing.T, f Fabric, role string) grpc_testing.TestServiceClient {
	t.Helper()
	reg, net := f.Host("outside")
	conn, err := rpc.Dial(rpc.ClientConfig{Role: role, Registry: reg, Network: net, Timeout: time.Hour})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return grpc_testing.NewTestServiceClient(conn)
}

func call(c grpc_testing.TestServiceClient) error {
	_, err := c.EmptyCall(context.Background(), new(grpc_testing.Empty))
	return err
}

// A visitor sends HTTP requests over a network, on connections that are kept.
type visitor struct {
	t      *testing.T
	client http.Client
}

func visit(t *testing.T, ground network.Network) *visitor {
	v := &visitor{t: t, client: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return ground.Dial(ctx, addr) },
	}}}
	t.Cleanup(v.client.CloseIdleConnections)
	return v
}

// get returns the status, the body and the header of an answer.
func (v *visitor) get(url string) (int, string, http.Header) {
	v.t.Helper()
	res, text, err := v.ask(url)
	require.NoError(v.t, err)
	return res.StatusCode, text, res.Header
}

func (v *visitor) ask(url string) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, "", err
	}
	res, err := v.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res, string(text), err
}

func insecureTransport() grpc.DialOption {
	return grpc.WithTransportCredentials(insecure.NewCredentials())
}
