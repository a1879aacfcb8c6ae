package integration

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/interop"
	"google.golang.org/grpc/interop/grpc_testing"

	"example.com/app/platform/app"
	"example.com/app/platform/network"
	"example.com/app/platform/proxy"
	"example.com/app/platform/registry"
	"example.com/app/platform/registry/consul"
	"example.com/app/platform/registry/consul/consultest"
)

// shop is an HTTP service that is none of our roles, as anybody may register.
// It says which instance answered; the returned function ends it.
func (w *world) shop(name string) (end func()) {
	w.t.Helper()
	reg, net := w.ground.Host(name)
	addr := ":80"
	if !w.virtual {
		addr = "127.0.0.1:0"
	}
	ln, err := net.Listen(w.t.Context(), addr)
	require.NoError(w.t, err)
	server := http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(rw, "%s %s", name, r.URL.Path)
	})}
	ctx, leave := context.WithCancel(context.Background())
	listed := make(chan struct{}, 100)
	var life sync.WaitGroup
	life.Go(func() { _ = server.Serve(ln) })
	left := make(chan struct{})
	life.Go(func() {
		defer close(left)
		_ = reg.Register(ctx, registry.Registration{
			Instance: registry.Instance{ID: name, Role: "shop", Addr: ln.Addr().String()},
			Report: func(err error) {
				if err == nil {
					listed <- struct{}{}
				}
			},
		})
	})
	<-listed
	var once sync.Once
	end = func() {
		once.Do(func() {
			leave()
			<-left
			_ = server.Shutdown(context.Background())
			life.Wait()
		})
	}
	w.t.Cleanup(end)
	return end
}

func TestTheGatewaySharesAPrefixAmongTheInstancesOfAForeignService(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.settings(func(c *app.Config) {
			c.Routes = []proxy.Route{{Prefix: "/shop", Service: "shop"}}
			c.Balance = map[string]app.Balance{"shop": {Policy: "round_robin"}}
		})
		first, second := w.shop("shop-a"), w.shop("shop-b")
		w.start("phrasebook-1", "greeter-1", "gateway-1")
		_, err := w.greet("Ada", "en")
		require.NoError(t, err)

		ask := func() string {
			text, err := w.Get(t.Context(), "/shop/bag")
			require.NoError(t, err)
			return text
		}
		w.eventually(10*time.Second, "both shops are known", func() bool { one := ask(); return one != ask() })
		count := map[string]int{}
		for range 20 {
			count[ask()]++
		}
		require.Equal(t, map[string]int{"shop-a /bag": 10, "shop-b /bag": 10}, count, "as it was told: each in turn")

		first()
		w.eventually(10*time.Second, "shop-a is gone", func() bool { one := ask(); return one == ask() })
		require.Equal(t, "shop-b /bag", ask())
		second()
	})
}

func TestGR10TheInteropRoleAnswersGRPCsOwnClient(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.start("interop-1")
		conn := w.dial("interop")
		client := grpc_testing.NewTestServiceClient(conn)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		interop.DoEmptyUnaryCall(ctx, client)
		interop.DoLargeUnaryCall(ctx, client)
		interop.DoClientStreaming(ctx, client)
		interop.DoServerStreaming(ctx, client)
		interop.DoPingPong(ctx, client)
		interop.DoEmptyStream(ctx, client)
		interop.DoTimeoutOnSleepingServer(ctx, client)
		interop.DoCancelAfterBegin(ctx, client)
		interop.DoCancelAfterFirstResponse(ctx, client)
		interop.DoCustomMetadata(ctx, client)
		interop.DoStatusCodeAndMessage(ctx, client)
		interop.DoSpecialStatusMessage(ctx, client)
		interop.DoUnimplementedMethod(ctx, conn.(bearer).ClientConn)
		interop.DoUnimplementedService(ctx, grpc_testing.NewUnimplementedServiceClient(conn))
	})
}

// TestRegistryAndNetworkAreSwappedSeparately runs a greeting on the mixes that
// no world has.
func TestRegistryAndNetworkAreSwappedSeparately(t *testing.T) {
	t.Run("consul registry, memory network", func(t *testing.T) {
		found, err := app.Consul(consul.Config{API: consultest.Agent(t).API()})
		require.NoError(t, err)
		greetOnce(t, app.Mix(found, app.Memory()), app.Config{})
	})
	t.Run("memory registry, TCP", func(t *testing.T) {
		greetOnce(t, app.Mix(app.Memory(), app.One(nil, new(network.TCP))), app.Config{GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0"})
	})
}

// greetOnce runs a whole system in one node and asks it for a greeting.
func greetOnce(t *testing.T, fabric app.Fabric, cfg app.Config) {
	t.Helper()
	w := newWorld(t, still{fabric}, cfg)
	w.start("phrasebook-1", "greeter-1", "gateway-1")
	hello, err := w.greet("Ada", "en")
	require.NoError(t, err)
	require.Equal(t, "Hello, Ada!", hello)
	w.end()
}

// still is ground where nothing crashes.
type still struct{ app.Fabric }

func (still) Crash(string)   {}
func (still) Restore(string) {}

func TestG7SystemsInOneProcessDoNotSeeEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, other := newWorld(t, app.Memory(), app.Config{}), newWorld(t, app.Memory(), app.Config{})
		one.start("phrasebook-1", "greeter-1", "gateway-1")
		other.start("phrasebook-1", "gateway-1")
		_, err := one.greet("Ada", "en")
		require.NoError(t, err)
		_, err = other.greet("Ada", "en")
		require.ErrorContains(t, err, "ROLE_UNAVAILABLE", "the greeter of one system is not one of the other's")
	})
}

func TestTheWholeSystemDescribesItself(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.start("phrasebook-1", "greeter-1", "gateway-1")
		_, err := w.greet("Ada", "en")
		require.NoError(t, err)
		res, err := w.Send(t.Context(), http.MethodGet, "/openapi.json", "", nil)
		require.NoError(t, err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		for _, path := range []string{`"/v1/greetings/{name}"`, `"/v1/greetings"`, `"/v1/greetings/{name}:stream"`, "phrases"} {
			require.Contains(t, string(text), path)
		}
	})
}
