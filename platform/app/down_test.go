package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"

	"example.com/app/platform/network"
	"example.com/app/platform/registry"
)

func TestR2OrderDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := watched{Fabric: Memory(), journal: new(journal)}
		start(t, Config{Roles: []Role{serves("b", new(echo))}, Fabric: f.Fabric})
		var begin time.Time
		note := func(format string, args ...any) {
			f.note("%v %s", time.Since(begin), fmt.Sprintf(format, args...))
		}
		var client *grpc.ClientConn
		slow := &echo{
			call: func(context.Context) error { time.Sleep(8 * time.Second); note("answers"); return nil },
			run: func(ctx context.Context) error {
				<-ctx.Done()
				note("run ends, client %v", client.GetState())
				return nil
			},
		}
		a := Role{Name: "a", Edge: true, Rules: anybody, New: func(env *Env) (Service, error) {
			var err error
			client, err = env.Dial("b")
			return slow, err
		}}
		s := start(t, Config{Roles: []Role{a}, Fabric: f, Drain: 5 * time.Second})
		c := outside(t, f, "a")
		begin = time.Now()
		answer := make(chan error, 1)
		go func() { answer <- call(c) }() // before the stop
		synctest.Wait()
		s.stop()
		_, net := f.Host("outside")
		for _, at := range []time.Duration{0, 4 * time.Second, 6 * time.Second} {
			time.Sleep(at - time.Since(begin))
			synctest.Wait()
			_, text := readyz(s)
			note("%s, %s, %d listed, %d in flight", text, status(net, "a-1:50051"), len(listed(f, "a")), s.InFlight())
		}
		<-s.ended
		require.NoError(t, <-answer)
		note("ended: %v, client %v", s.err, client.GetState())
		require.Equal(t, `a-1: register, SERVING
a-1: deregister, NOT_SERVING
0s draining, NOT_SERVING, 0 listed, 1 in flight
4s draining, NOT_SERVING, 0 listed, 1 in flight
6s stopping, no answer, 0 listed, 1 in flight
8s answers
8s run ends, client READY
8s ended: <nil>, client SHUTDOWN`, f.text())
	})
}

func TestR2DrainAnswersNewCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := Memory()
		s := start(t, Config{Roles: []Role{serves("a", new(echo))}, Fabric: f, Drain: 5 * time.Second})
		reg := One(registry.Static{s.instances[0].self}, hostOf(f, "outside")) // somebody who has not heard
		c := outside(t, reg, "a")
		require.NoError(t, call(c))
		s.stop()
		time.Sleep(4 * time.Second)
		_, net := f.Host("outside")
		require.Equal(t, "NOT_SERVING", status(net, "a-1:50051"))
		<-s.ended
		require.NoError(t, s.err)
		require.Equal(t, "no answer", status(net, "a-1:50051"))
	})
}

func hostOf(f Fabric, name string) network.Network { _, net := f.Host(name); return net }

func TestR2DeregistrationThatFailsDoesNotStopTheStop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := watched{Fabric: Memory(), journal: new(journal), leave: func() error { return errors.New("connection refused") }}
		s := start(t, Config{Roles: []Role{serves("a", new(echo))}, Fabric: f, Drain: 5 * time.Second})
		took, err := s.end()
		require.NoError(t, err)
		require.Equal(t, 5*time.Second, took)
	})
}

func TestR2DeregistrationThatHangsDelaysTheStopByItself(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := watched{Fabric: Memory(), journal: new(journal), leave: func() error { time.Sleep(2 * time.Second); return nil }}
		s := start(t, Config{Roles: []Role{serves("a", new(echo))}, Fabric: f, Drain: 5 * time.Second})
		took, err := s.end()
		require.NoError(t, err)
		require.Equal(t, 7*time.Second, took)
	})
}

func TestR2DeregistrationThatHangsForGoodDoesNotKeepTheServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := watched{Fabric: Memory(), journal: new(journal), leave: func() error { time.Sleep(time.Hour); return nil }}
		e := &echo{call: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		s := start(t, Config{Roles: []Role{serves("a", e)}, Fabric: f, Grace: 10 * time.Second})
		c := outside(t, f, "a")
		begin, cut := time.Now(), make(chan time.Duration, 1)
		go func() { _ = call(c); cut <- time.Since(begin) }()
		synctest.Wait()
		s.stop()
		require.Equal(t, 10*time.Second, <-cut)
		<-s.ended
		var err *CutError
		require.ErrorAs(t, s.err, &err)
	})
}

func TestLC8LivenessStaysWhileReadinessTurns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		edge := network.NewMemory()
		s := start(t, Config{
			Roles: []Role{serves("a", new(echo))}, Edge: edge.Host("edge"), Admin: ":9090", Drain: 5 * time.Second,
		})
		v := visit(t, edge.Host("outside"))
		code, text, _ := v.get("http://edge:9090/readyz")
		require.Equal(t, 200, code)
		require.Equal(t, "a-1: serving\n", text)
		s.stop()
		for range 4 {
			time.Sleep(time.Second)
			code, _, _ = v.get("http://edge:9090/livez")
			require.Equal(t, 200, code)
			code, text, _ = v.get("http://edge:9090/readyz")
			require.Equal(t, 503, code)
			require.Equal(t, "a-1: draining\n", text)
		}
		<-s.ended
		require.NoError(t, s.err)
	})
}

func TestLC4CallUnderWayIsAnsweredAndNobodyWaitsLonger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := Memory()
		e := &echo{call: func(context.Context) error { time.Sleep(3 * time.Second); return nil }}
		s := start(t, Config{Roles: []Role{serves("a", e)}, Fabric: f})
		c, answer := outside(t, f, "a"), make(chan error, 1)
		go func() { answer <- call(c) }()
		synctest.Wait()
		took, err := s.end()
		require.NoError(t, err)
		require.NoError(t, <-answer)
		require.Equal(t, 3*time.Second, took)
	})
}

func TestLC5IdleConnectionsDoNotDelayTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := Memory()
		s := start(t, Config{
			Roles: []Role{serves("www", web{http.HandlerFunc(greeting)}), serves("a", new(echo))}, Fabric: f, Drain: 5 * time.Second,
		})
		v := visit(t, hostOf(f, "outside"))
		code, _, header := v.get("http://www-1:8080/")
		require.Equal(t, 200, code)
		require.Empty(t, header.Get("Connection"), "the connection is kept")

		// A health watch and an idle client stay open through the drain.
		watching := watchHealth(t, f, "a-1:50051")
		require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, <-watching)
		require.NoError(t, call(outside(t, f, "a")))

		took, err := s.end()
		require.NoError(t, err)
		require.LessOrEqual(t, took, 7*time.Second)
		require.Equal(t, grpc_health_v1.HealthCheckResponse_NOT_SERVING, <-watching)
	})
}

// watchHealth follows the health of a server until it ends.
func watchHealth(t *testing.T, f Fabric, addr string) <-chan grpc_health_v1.HealthCheckResponse_ServingStatus {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithContextDialer(hostOf(f, "watcher").Dial), insecureTransport())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	stream, err := grpc_health_v1.NewHealthClient(conn).Watch(t.Context(), new(grpc_health_v1.HealthCheckRequest))
	require.NoError(t, err)
	seen := make(chan grpc_health_v1.HealthCheckResponse_ServingStatus, 10)
	go func() {
		defer close(seen)
		for {
			res, err := stream.Recv()
			if err != nil {
				return
			}
			seen <- res.GetStatus()
		}
	}()
	return seen
}

func TestLC5HTTPConnectionThatNeverAskedDoesNotDelayTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := Memory()
		s := start(t, Config{Roles: []Role{serves("www", web{http.HandlerFunc(greeting)})}, Fabric: f})
		c, err := hostOf(f, "outside").Dial(t.Context(), "www-1:8080") // as browsers do, in advance
		require.NoError(t, err)
		defer c.Close()
		synctest.Wait()
		took, err := s.end()
		require.NoError(t, err)
		require.LessOrEqual(t, took, 2*time.Second)
	})
}

func TestLC14AThousandStartsAndStopsLeaveNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, edge := Memory(), network.NewMemory().Host("edge")
		roles := []Role{serves("www", web{http.HandlerFunc(greeting)}), serves("a", new(echo), "a")}
		for i := range 1000 {
			run := map[string]int{"www": 1}
			if i%10 == 0 {
				run["a"] = 1 // takes milliseconds to compile the rules of its messages
			}
			s := start(t, Config{Roles: roles, Run: run, Fabric: f, Edge: edge, Admin: ":9090"})
			_, err := s.end()
			require.NoError(t, err)
		}
		require.Empty(t, listed(f, "a"))
		require.Empty(t, listed(f, "www"))
	})
}
