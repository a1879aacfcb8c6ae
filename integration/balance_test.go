package integration

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"example.com/app/platform/app"
	"example.com/app/platform/errs"
	"example.com/app/platform/resilience"
	"example.com/app/services/greeter/greeterpb"
)

func TestCallsAvoidASlowInstance(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		slow := w.beside(func(c *app.Config) {
			c.Work = map[string]resilience.Work{"greeter": {Time: 300 * time.Millisecond}}
		})
		w.start("phrasebook-1", "greeter-1", "greeter-2")
		require.NoError(t, slow.Start(t.Context(), "greeter-3"))
		w.start("gateway-1")
		calls, lost := w.underLoad(100, func() {
			w.eventually(20*time.Second, "some hundred calls", func() bool { return w.calls("greeter-1")+w.calls("greeter-2") > 300 })
		})
		require.NoError(t, lost)
		require.LessOrEqual(t, w.calls("greeter-3"), calls/50, "it is tried now and then, no more")
		require.NotZero(t, w.calls("greeter-3"))
		require.NoError(t, slow.Close())
	})
}

// A broken greeter answers at once that it can't answer. It looks idle, and
// would get all calls of a balancer that only counts those in flight.
type broken struct {
	greeterpb.UnimplementedGreeterServer
}

func (broken) Register(r grpc.ServiceRegistrar) { greeterpb.RegisterGreeterServer(r, broken{}) }

func (broken) SayHello(context.Context, *greeterpb.SayHelloRequest) (*greeterpb.SayHelloResponse, error) {
	return nil, errs.Unavailable.New("out of words")
}

func TestAnInstanceThatFailsAtOnceIsEjected(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		sick := w.beside(func(c *app.Config) {
			roles := append([]app.Role(nil), c.Roles...)
			for i := range roles {
				if roles[i].Name == "greeter" {
					roles[i].New = func(*app.Env) (app.Service, error) { return broken{}, nil }
				}
			}
			c.Roles = roles
		})
		w.start("phrasebook-1", "greeter-1")
		require.NoError(t, sick.Start(t.Context(), "greeter-2"))
		w.start("gateway-1")
		calls, lost := w.underLoad(100, func() {
			w.eventually(20*time.Second, "some hundred calls", func() bool { return w.calls("greeter-1") > 300 })
		})
		require.NoError(t, lost, "a greeting has no side effects: it is asked for again")
		require.LessOrEqual(t, w.calls("greeter-2"), max(8, calls/50))
		require.NoError(t, sick.Close())
	})
}
