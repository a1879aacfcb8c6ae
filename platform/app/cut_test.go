package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"example.com/app/platform/network"
	"example.com/app/platform/registry"
)

// stuck is a call that ends only when it is cut.
func stuck(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func stuckPage(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestLC6StuckCallsAreCutAtTheGraceAndCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := Memory()
		s := start(t, Config{Roles: []Role{serves("a", &echo{call: stuck})}, Fabric: f, Drain: 5 * time.Second, Grace: 12 * time.Second})
		c, answers := outside(t, f, "a"), make(chan error, 2)
		for range 2 {
			go func() { answers <- call(c) }()
		}
		synctest.Wait()
		took, err := s.end()
		require.Equal(t, 12*time.Second, took, "from the stop on")
		var cut *CutError
		require.ErrorAs(t, err, &cut)
		require.Equal(t, CutError{Host: "a-1", Calls: 2}, *cut)
		require.Equal(t, codes.Unavailable, grpcstatus.Code(<-answers))
		require.Equal(t, codes.Unavailable, grpcstatus.Code(<-answers))
	})
}

func TestLC6StuckRequestsAreCutAtTheGraceAndCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := Memory()
		s := start(t, Config{Roles: []Role{serves("www", web{http.HandlerFunc(stuckPage)})}, Fabric: f})
		v, answers := visit(t, hostOf(f, "outside")), make(chan error, 3)
		for range 3 {
			go func() { _, _, err := v.ask("http://www-1:8080/"); answers <- err }()
		}
		synctest.Wait()
		took, err := s.end()
		require.InDelta(t, 30, took.Seconds(), 0.01, "the default")
		require.EqualError(t, err, "www-1: 3 calls were cut at the deadline")
		for range 3 {
			require.Error(t, <-answers)
		}
	})
}

func TestLC7KillEndsAtOnce(t *testing.T) {
	for name, after := range map[string]func(*subject){
		"while serving":             func(*subject) {},
		"in the middle of a drain":  func(s *subject) { s.stop(); time.Sleep(time.Second) },
		"while calls are waited on": func(s *subject) { s.stop(); time.Sleep(7 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := Memory()
				s := start(t, Config{
					Roles:  []Role{serves("www", web{http.HandlerFunc(stuckPage)}, "a"), serves("a", &echo{call: stuck})},
					Fabric: f, Drain: 5 * time.Second,
				})
				c, v := outside(t, f, "a"), visit(t, hostOf(f, "outside"))
				answers := make(chan error, 2)
				go func() { answers <- call(c) }()
				go func() { _, _, err := v.ask("http://www-1:8080/"); answers <- err }()
				synctest.Wait()
				after(s)
				begin := time.Now()
				s.Kill()
				s.Kill() // many times, from anywhere
				<-s.ended
				require.Zero(t, time.Since(begin))
				require.ErrorContains(t, s.err, "www-1: 1 calls were cut")
				require.ErrorContains(t, s.err, "a-1: 1 calls were cut")
				require.Error(t, <-answers)
				require.Error(t, <-answers)
			})
		})
	}
}

func TestLC7KillEndsAStartThatWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := launch(t, Config{Roles: []Role{serves("a", new(echo), "nobody")}})
		synctest.Wait()
		begin := time.Now()
		s.Kill()
		<-s.ended
		require.NoError(t, s.err)
		require.Zero(t, time.Since(begin))
		require.False(t, s.has())
	})
}

func TestCallersStopBeforeWhomTheyCall(t *testing.T) {
	a, b, c := serves("a", new(echo), "b"), serves("b", new(echo), "c"), serves("c", new(echo))
	chain := "a-1 0s\nb-1 5s\nc-1 10s"
	for name, x := range map[string]struct {
		roles []Role
		want  string
	}{
		"chain, callers first":   {[]Role{a, b, c}, chain},
		"chain, callees first":   {[]Role{c, b, a}, chain},
		"chain, middle first":    {[]Role{b, c, a}, chain},
		"all know the last":      {[]Role{serves("z", new(echo)), serves("x", new(echo), "z", "y"), serves("y", new(echo), "z")}, "x-1 0s\ny-1 5s\nz-1 10s"},
		"nobody knows anybody":   {[]Role{serves("x", new(echo))}, "x-1 0s"},
		"a circle":               {[]Role{a, serves("b", new(echo), "a")}, "a-1 0s\nb-1 5s"},
		"a circle of its own":    {[]Role{serves("a", new(echo), "a")}, "a-1 0s"},
		"a circle with a callee": {[]Role{c, serves("a", new(echo), "b"), serves("b", new(echo), "a", "c")}, "a-1 0s\nb-1 5s\nc-1 10s"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := departures{Fabric: Memory(), journal: new(journal), begin: new(time.Time)}
				s := start(t, Config{Roles: x.roles, Fabric: f, Drain: 5 * time.Second})
				*f.begin = time.Now()
				_, err := s.end()
				require.NoError(t, err)
				require.Equal(t, x.want, f.text())
			})
		})
	}
}

// departures is a fabric that notes who leaves the registry, and when.
type departures struct {
	Fabric
	*journal
	begin *time.Time
}

func (f departures) Host(name string) (registry.Registry, network.Network) {
	reg, net := f.Fabric.Host(name)
	return departing{reg, f, name}, net
}

type departing struct {
	registry.Registry
	departures
	host string
}

func (d departing) Register(ctx context.Context, r registry.Registration) error {
	err := d.Registry.Register(ctx, r)
	d.note("%s %v", d.host, time.Since(*d.begin))
	return err
}

func TestRoleThatBreaksStopsTheNodeAndIsNamed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		broken := make(chan error)
		f := Memory()
		s := start(t, Config{
			Roles: []Role{
				serves("a", new(echo)),
				serves("b", &echo{run: func(ctx context.Context) error {
					select {
					case err := <-broken:
						return err
					case <-ctx.Done():
						return nil
					}
				}}),
			},
			Run: map[string]int{"a": 1, "b": 2}, Fabric: f,
		})
		disk := errors.New("disk full")
		broken <- disk
		<-s.ended
		require.ErrorIs(t, s.err, disk)
		require.Regexp(t, `^b-[12]: run: disk full$`, s.err.Error())
		require.Empty(t, listed(f, "a"), "the others were stopped in order")
	})
}

func TestServerThatBreaksStopsTheNodeAndIsNamed(t *testing.T) {
	for name, role := range map[string]Role{"grpc": serves("a", new(echo)), "http": serves("a", web{http.HandlerFunc(greeting)})} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				reg, net := Memory().Host("a-1")
				s := launch(t, Config{Roles: []Role{role}, Fabric: One(reg, deaf{net})})
				<-s.ended
				require.ErrorContains(t, s.err, "a-1: answer calls: serve a-1:")
				require.ErrorIs(t, s.err, errDeaf)
			})
		})
	}
}

func TestAdminThatBreaksStopsTheNodeAndIsNamed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := launch(t, Config{Roles: []Role{serves("a", new(echo))}, Edge: deaf{network.NewMemory().Host("edge")}, Admin: ":9090"})
		<-s.ended
		require.ErrorIs(t, s.err, errDeaf)
		require.ErrorContains(t, s.err, "admin: ")
	})
}

var errDeaf = errors.New("too many open files")

// deaf is a network whose listeners break at the first connection.
type deaf struct{ network.Network }

func (d deaf) Listen(ctx context.Context, addr string) (net.Listener, error) {
	ln, err := d.Network.Listen(ctx, addr)
	return deafListener{ln}, err
}

type deafListener struct{ net.Listener }

func (deafListener) Accept() (net.Conn, error) { return nil, errDeaf }
