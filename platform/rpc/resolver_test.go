package rpc

import (
	"context"
	"errors"
	"iter"
	"net"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	"example.com/app/platform/network"
	"example.com/app/platform/registry"
	"example.com/app/platform/rpc/internal/probepb"
)

// pushed is a registry that says what the test pushes.
type pushed struct {
	sets chan []registry.Instance
	errs chan error
}

func (pushed) Register(ctx context.Context, _ registry.Registration) error {
	<-ctx.Done()
	return nil
}

func (p pushed) Watch(ctx context.Context, _ string) iter.Seq2[[]registry.Instance, error] {
	return func(yield func([]registry.Instance, error) bool) {
		for more := true; more; {
			select {
			case set := <-p.sets:
				more = yield(set, nil)
			case err := <-p.errs:
				more = yield(nil, err)
			case <-ctx.Done():
				return
			}
		}
	}
}

func TestW3ARegistryThatCannotBeAskedTakesNoInstanceAway(t *testing.T) {
	inMemory(t, func(w *world) {
		in := w.serve("probe-0", ServerConfig{}, func(s grpc.ServiceRegistrar) { probepb.RegisterProbeServer(s, &probe{}) })
		in.SetServing(true)
		r := pushed{make(chan []registry.Instance), make(chan error)}
		conn := w.dialAs("client", ClientConfig{Registry: r})
		conn.Connect()
		r.sets <- []registry.Instance{{ID: "a", Role: "probe", Addr: in.addr}}
		w.reach(conn)
		for range 3 {
			r.errs <- errors.New("the registry is away")
			synctest.Wait()
			_, err := probepb.NewProbeClient(conn).Write(w.Context(), &probepb.Request{})
			require.NoError(w, err)
		}
		r.sets <- nil // an empty set is the truth, an error is not
		synctest.Wait()
		_, err := probepb.NewProbeClient(conn).Write(w.Context(), &probepb.Request{})
		require.Equal(w, codes.Unavailable, status.Code(err))
	})
}

func TestAClientFollowsTheRegistry(t *testing.T) {
	inMemory(t, func(w *world) {
		first, second := &probe{}, &probe{}
		in := w.start("probe-0", first, ServerConfig{})
		client := w.ready()
		w.start("probe-1", second, ServerConfig{})
		synctest.Wait()
		in.delist()
		synctest.Wait()
		for range 4 {
			_, err := client.Write(w.Context(), &probepb.Request{})
			require.NoError(w, err)
		}
		require.Equal(w, []int{0, 4}, []int{first.calls(), second.calls()})
	})
}

func TestCloseEndsTheWatchAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, cc := registry.NewMemory(), &listening{}
		f := &follower{registry: r.Host("client")}
		following, err := f.Build(resolver.Target{URL: url.URL{Scheme: scheme, Path: "/probe"}}, cc, resolver.BuildOptions{})
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, 1, cc.told())
		following.ResolveNow(resolver.ResolveNowOptions{})
		following.Close() // the bubble would not end if a goroutine were left
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_ = r.Host("probe-0").Register(ctx, registry.Registration{Instance: registry.Instance{ID: "a", Role: "probe", Addr: "probe-0:1"}})
		}()
		synctest.Wait()
		require.Equal(t, 1, cc.told(), "gRPC was told something after Close")
		cancel()
	})
}

// listening counts what a resolver tells gRPC.
type listening struct {
	resolver.ClientConn
	mu sync.Mutex
	n  int
}

func (l *listening) UpdateState(resolver.State) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	return nil
}

func (l *listening) told() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

func TestG4NoProxyStandsBetweenRoles(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://proxy:3128")
	inMemory(t, func(w *world) {
		in := w.start("probe-0", &probe{}, ServerConfig{})
		_, n := w.host("client")
		count := &counted{Network: n}
		conn := w.dialAs("client", ClientConfig{Network: count})
		w.reach(conn)
		require.Equal(w, 1, count.dials(in.addr))
		require.Zero(w, count.dials("proxy:3128"))
	})
}

func TestG3AnInstanceThatIsNotServingGetsNoCalls(t *testing.T) {
	inMemory(t, func(w *world) {
		sick, well := &probe{}, &probe{}
		in := w.start("probe-0", sick, ServerConfig{})
		w.start("probe-1", well, ServerConfig{})
		client := w.ready()
		call := func(n int) {
			for range n {
				_, err := client.Write(w.Context(), &probepb.Request{})
				require.NoError(w, err)
			}
		}
		in.SetServing(false)
		synctest.Wait()
		call(6)
		require.Equal(w, []int{0, 6}, []int{sick.calls(), well.calls()})
		in.SetServing(true)
		synctest.Wait()
		call(6)
		require.Equal(w, []int{3, 9}, []int{sick.calls(), well.calls()})
	})
}

func TestR6AnAddressThatAnswersAsSomebodyElseGetsNoCalls(t *testing.T) {
	everyNetwork(t, func(w *world) {
		stranger, well := &probe{}, &probe{}
		w.start("probe-0", stranger, ServerConfig{Role: "other"}) // listed as "probe" still
		w.start("probe-1", well, ServerConfig{})
		client := w.ready()
		for range 6 {
			_, err := client.Write(w.Context(), &probepb.Request{})
			require.NoError(w, err)
		}
		require.Equal(w, []int{0, 6}, []int{stranger.calls(), well.calls()})
	})
}

// The control for the health test: a client whose config does not ask for
// health, or that speaks without the health package, sends calls regardless.
func TestG3WithoutHealthCheckingASickInstanceWouldGetCalls(t *testing.T) {
	inMemory(t, func(w *world) {
		sick := &probe{}
		w.start("probe-0", sick, ServerConfig{}).SetServing(false)
		_, n := w.host("client")
		r := manual.NewBuilderWithScheme("fixed")
		r.InitialState(resolver.State{Addresses: []resolver.Address{{Addr: "probe-0:50051"}}})
		conn, err := grpc.NewClient("fixed:///", grpc.WithResolvers(r), grpc.WithContextDialer(n.Dial),
			grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`))
		require.NoError(w, err)
		defer conn.Close()
		_, err = probepb.NewProbeClient(conn).Write(w.Context(), &probepb.Request{})
		require.NoError(w, err)
		require.Equal(w, 1, sick.calls())
		res, err := grpc_health_v1.NewHealthClient(conn).Check(w.Context(), &grpc_health_v1.HealthCheckRequest{})
		require.NoError(w, err)
		require.Equal(w, grpc_health_v1.HealthCheckResponse_NOT_SERVING, res.GetStatus())
	})
}

// deaf is a network whose connections can fall silent: nothing comes in and
// nothing goes out, and nobody is told.
type deaf struct {
	network.Network
	silent chan struct{}
}

func (d deaf) Dial(ctx context.Context, addr string) (net.Conn, error) {
	select {
	case <-d.silent:
		<-ctx.Done()
		return nil, ctx.Err()
	default:
	}
	c, err := d.Network.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	return &deafConn{Conn: c, silent: d.silent, closed: make(chan struct{})}, nil
}

type deafConn struct {
	net.Conn
	silent chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (c *deafConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	select {
	case <-c.silent:
		<-c.closed
		return 0, net.ErrClosed
	default:
		return n, err
	}
}

func (c *deafConn) Write(p []byte) (int, error) {
	select {
	case <-c.silent:
		return len(p), nil
	default:
		return c.Conn.Write(p)
	}
}

func (c *deafConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
