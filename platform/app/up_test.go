package app

import (
	"context"
	"errors"
	"iter"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"example.com/app/platform/errs"
	"example.com/app/platform/network"
	"example.com/app/platform/registry"
)

// readyz asks the first instance of a node.
func readyz(s *subject) (bool, string) { return s.instances[0].state.ready() }

func TestR1InstanceIsListedOnceItServes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := watched{Fabric: Memory(), journal: new(journal)}
		s := start(t, Config{Roles: []Role{serves("a", new(echo))}, Fabric: f})
		require.Equal(t, "a-1: register, SERVING", f.text())
		require.NoError(t, call(outside(t, f, "a")))
		ok, text := readyz(s)
		require.True(t, ok)
		require.Equal(t, "serving", text)
	})
}

func TestR1InstanceWaitsForTheRolesItDials(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := watched{Fabric: Memory(), journal: new(journal)}
		a := launch(t, Config{Roles: []Role{serves("a", new(echo), "b")}, Fabric: f})
		time.Sleep(3 * time.Second)
		require.Empty(t, f.text(), "listed before whom it needs was there")
		_, net := f.Host("outside")
		require.Equal(t, "NOT_SERVING", status(net, "a-1:50051"))
		_, text := readyz(a)
		require.Equal(t, "waiting: waiting for [b]", text)

		start(t, Config{Roles: []Role{serves("b", new(echo))}, Fabric: f})
		<-a.Started()
		require.Equal(t, "b-1: register, SERVING\na-1: register, SERVING", f.text())
	})
}

func TestR1WaitNeedsBoundsTheWait(t *testing.T) {
	for given, want := range map[time.Duration]time.Duration{0: 10 * time.Second, 3 * time.Second: 3 * time.Second} {
		bubble(t, func(t *testing.T) {
			begin := time.Now()
			start(t, Config{Roles: []Role{serves("a", new(echo), "nobody")}, WaitNeeds: given})
			require.Equal(t, want, time.Since(begin))
		})
	}
}

func TestR1CheckerThatSaysNoDelaysTheFirstCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		begin := time.Now()
		slow := &echo{check: func() error {
			if time.Since(begin) < 5*time.Second {
				return errors.New("still reading the phrases")
			}
			return nil
		}}
		f := watched{Fabric: Memory(), journal: new(journal)}
		s := launch(t, Config{Roles: []Role{serves("a", slow)}, Fabric: f})
		time.Sleep(time.Second)
		require.Empty(t, f.text())
		ok, text := readyz(s)
		require.False(t, ok)
		require.Equal(t, "waiting: still reading the phrases", text)
		<-s.Started()
		require.InDelta(t, 5, time.Since(begin).Seconds(), 0.2)
		require.Equal(t, "a-1: register, SERVING", f.text())
	})
}

func TestCheckerThatSaysNoLaterTakesTheInstanceOffTheList(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sick := make(chan struct{})
		e := &echo{check: func() error {
			select {
			case <-sick:
				return errors.New("disk full")
			default:
				return nil
			}
		}}
		f := Memory()
		s := start(t, Config{Roles: []Role{serves("a", e)}, Fabric: f})
		require.Len(t, listed(f, "a"), 1)
		close(sick)
		time.Sleep(6 * time.Second) // one heartbeat
		require.Empty(t, listed(f, "a"))
		_, text := readyz(s)
		require.Equal(t, "serving: registry: disk full", text)
	})
}

// listed is the registry's list of a role, now.
func listed(f Fabric, role string) []registry.Instance {
	reg, _ := f.Host("outside")
	for set := range reg.Watch(context.Background(), role) {
		return set
	}
	return nil
}

// away is a registry that cannot be reached until it is back.
type away struct {
	registry.Registry
	back chan struct{}
}

func (a away) Register(ctx context.Context, r registry.Registration) error {
	r.Report(errs.Unavailable.New("connection refused"))
	select {
	case <-a.back:
		return a.Registry.Register(ctx, r)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a away) Watch(ctx context.Context, role string) iter.Seq2[[]registry.Instance, error] {
	return func(yield func([]registry.Instance, error) bool) {
		if !yield(nil, errs.Unavailable.New("connection refused")) {
			return
		}
		select {
		case <-a.back:
		case <-ctx.Done():
		}
		for set, err := range a.Registry.Watch(ctx, role) {
			if !yield(set, err) {
				return
			}
		}
	}
}

func TestR4RegistryThatIsAwayDoesNotStopTheStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := Memory()
		reg, net := f.Host("a-1")
		cut := away{reg, make(chan struct{})}
		_, outside := f.Host("outside")
		begin := time.Now()
		s := start(t, Config{Roles: []Role{serves("a", new(echo))}, Fabric: One(cut, net)})
		require.Equal(t, 2*time.Second, time.Since(begin), "WaitSeen")
		require.Equal(t, "SERVING", status(outside, "a-1:50051"), "who knows it is answered")
		ok, text := readyz(s)
		require.False(t, ok)
		require.Equal(t, "serving: registry: connection refused", text)

		close(cut.back)
		synctest.Wait()
		ok, text = readyz(s)
		require.True(t, ok)
		require.Equal(t, "serving", text)
	})
}

func TestStopWithoutARegistryDoesNotWaitForTheDrain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		reg, net := Memory().Host("a-1")
		s := start(t, Config{Roles: []Role{serves("a", new(echo))}, Fabric: One(away{reg, nil}, net), Drain: time.Minute})
		took, err := s.end()
		require.NoError(t, err)
		require.Zero(t, took, "nobody was ever told of it")
	})
}

func TestStartedWaitsForEveryInstance(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ready := make(chan struct{})
		late := &echo{check: func() error {
			select {
			case <-ready:
				return nil
			default:
				return errors.New("not yet")
			}
		}}
		s := launch(t, Config{Roles: []Role{serves("a", new(echo)), serves("b", late)}, Run: map[string]int{"a": 3, "b": 1}})
		require.Zero(t, s.InFlight(), "it may be asked at any time")
		time.Sleep(time.Minute)
		require.False(t, s.has())
		require.Zero(t, s.InFlight())
		close(ready)
		<-s.Started()
	})
}

func TestNodeThatIsStoppedBeforeItIsUpNeverStarted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := watched{Fabric: Memory(), journal: new(journal)}
		s := launch(t, Config{Roles: []Role{serves("a", new(echo), "nobody")}, Fabric: f, Drain: time.Minute})
		time.Sleep(time.Second)
		took, err := s.end()
		require.NoError(t, err)
		require.Zero(t, took)
		require.False(t, s.has())
		require.Empty(t, f.text())
	})
}

func TestNodeThatIsToldToStopAtOnceEndsCleanly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, err := New(Config{Roles: []Role{serves("a", new(echo))}, Run: map[string]int{"a": 1}})
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		stop()
		require.NoError(t, n.Run(ctx))
	})
}

func TestLC12PortThatIsTakenLeavesNothingBehind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := Memory()
		_, other := f.Host("b-1")
		ln, err := other.Listen(t.Context(), ":50051")
		require.NoError(t, err)
		defer ln.Close()
		edge := network.NewMemory().Host("edge")
		s := launch(t, Config{
			Roles:  []Role{serves("www", web{http.HandlerFunc(greeting)}), serves("a", new(echo), "b"), serves("b", new(echo))},
			Fabric: f, Edge: edge, Admin: ":9090",
		})
		<-s.ended
		require.ErrorContains(t, s.err, "start b-1: listen")
		requirePortTaken(t, s.err)
		require.False(t, s.has())
		for _, addr := range []string{"edge:8080", "edge:9090"} {
			_, err := edge.Dial(t.Context(), addr)
			require.Error(t, err, "%s still listens", addr)
		}
		_, a := f.Host("a-1")
		ln, err = a.Listen(t.Context(), ":50051")
		require.NoError(t, err, "the port of the instance before it is not free again")
		require.NoError(t, ln.Close())
	})
}

func TestLC12AdminPortThatIsTaken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, edge := Memory(), network.NewMemory().Host("edge")
		ln, err := edge.Listen(t.Context(), ":9090")
		require.NoError(t, err)
		defer ln.Close()
		s := launch(t, Config{Roles: []Role{serves("a", new(echo))}, Fabric: f, Edge: edge, Admin: ":9090"})
		<-s.ended
		require.ErrorContains(t, s.err, "start admin: listen")
		requirePortTaken(t, s.err)
		_, a := f.Host("a-1")
		again, err := a.Listen(t.Context(), ":50051")
		require.NoError(t, err)
		require.NoError(t, again.Close())
	})
}

func TestStartErrorsNameTheInstance(t *testing.T) {
	refuse := errors.New("no key to sign with")
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"New fails":        {Config{Roles: []Role{{Name: "a", New: func(*Env) (Service, error) { return nil, refuse }}}}, "start a-1: no key to sign with"},
		"serves nothing":   {Config{Roles: []Role{serves("a", mute{})}}, "start a-1: the role registers no gRPC service and is no http.Handler"},
		"no port":          {Config{Roles: []Role{serves("a", new(echo))}, GRPC: "nowhere"}, `start a-1: address "nowhere": want host:port or :port: address nowhere: missing port in address`},
		"port by name":     {Config{Roles: []Role{serves("a", new(echo))}, GRPC: ":grpc"}, `start a-1: address ":grpc": the port must be a number from 0 to 65535`},
		"the last port":    {Config{Roles: []Role{serves("a", new(echo))}, Run: map[string]int{"a": 2}, GRPC: ":65535", Spread: true}, `start a-2: address ":65535": no port is left for instance 2, the last is 65535`},
		"registry refuses": {Config{Roles: []Role{serves("a", new(echo))}, Fabric: refusing{Memory()}}, "a-1: register: no such datacentre"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := launch(t, c.cfg)
				<-s.ended
				require.EqualError(t, s.err, c.want)
				require.False(t, s.has())
			})
		})
	}
}

func TestNewRefusesWhatItCannotRun(t *testing.T) {
	_, err := New(Config{})
	require.EqualError(t, err, "no role to run")
	_, err = New(Config{Roles: []Role{serves("a", new(echo))}, Run: map[string]int{"a": 1, "b": 1}})
	require.EqualError(t, err, `there is no role "b" to run`)
	roles, one := []Role{serves("a", new(echo))}, map[string]int{"a": 1}
	for issuer, good := range map[string]bool{
		"https://id.example.com": true, "http://localhost:8080": true, "http://127.0.0.2:1": true, "http://[::1]:1": true, "http://[::ffff:127.0.0.1]": true,
		"http://id.example.com": false, "http://10.0.0.1": false, "http://localhost.example.com": false, "https://id.example.com/": false, "ftp://localhost": false,
	} {
		_, err = New(Config{Roles: roles, Run: one, Fabric: Memory(), Security: Security{Issuer: issuer}})
		require.Equal(t, good, err == nil, "%s: %v", issuer, err)
	}
	_, err = New(Config{Roles: roles, Run: one, Fabric: Memory(), Security: Security{Issuer: "http://id.example.com", Insecure: true}})
	require.NoError(t, err, "nothing is believed there anyway")
}

// mute is a service that registers nothing.
type mute struct{}

func (mute) Register(grpc.ServiceRegistrar) {}

// refusing is a fabric whose registry lists nobody, ever.
type refusing struct{ Fabric }

func (f refusing) Host(name string) (registry.Registry, network.Network) {
	reg, net := f.Fabric.Host(name)
	return refusingRegistry{reg}, net
}

type refusingRegistry struct{ registry.Registry }

func (refusingRegistry) Register(context.Context, registry.Registration) error {
	return errors.New("no such datacentre")
}

// requirePortTaken checks that a program can tell why.
func requirePortTaken(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	var op *net.OpError
	require.ErrorAs(t, err, &op)
}
