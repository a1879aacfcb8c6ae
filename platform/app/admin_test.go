package app

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/interop/grpc_testing"

	"example.com/app/platform/network"
)

// operate starts a node of one gRPC and one HTTP role, and returns somebody
// who operates it.
func operate(t *testing.T, cfg Config) (*subject, *visitor) {
	t.Helper()
	ground := network.NewMemory()
	cfg.Fabric, cfg.Edge, cfg.Admin = Memory(), ground.Host("edge"), ":9090"
	if cfg.Roles == nil {
		cfg.Roles = []Role{serves("www", web{http.HandlerFunc(greeting)}, "a"), serves("a", new(echo))}
	}
	return launch(t, cfg), visit(t, ground.Host("outside"))
}

// send is get for a request of one's own.
func (v *visitor) send(req *http.Request) (int, string, http.Header) {
	v.t.Helper()
	res, err := v.client.Do(req)
	require.NoError(v.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(v.t, err)
	return res.StatusCode, string(text), res.Header
}

func TestAdminAnswersOnEveryPath(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, v := operate(t, Config{Version: "v1.2.3"})
		<-s.Started()
		for path, want := range map[string]string{
			"/":                         "/readyz",
			"/livez":                    "ok\n",
			"/healthz":                  "ok\n",
			"/readyz":                   "www-1: serving\na-1: serving\n",
			"/metrics":                  "go_goroutines",
			"/buildinfo":                "version\tv1.2.3\ngo\tgo1.",
			"/debug/pprof/":             "goroutine",
			"/debug/pprof/symbol":       "num_symbols",
			"/debug/pprof/heap?debug=1": "heap profile",
		} {
			code, text, header := v.get("http://edge:9090" + path)
			require.Equal(t, http.StatusOK, code, path)
			require.Contains(t, text, want, path)
			require.NotEmpty(t, header.Get("Content-Type"), path)
		}
		code, _, _ := v.get("http://edge:9090/nothing")
		require.Equal(t, http.StatusNotFound, code)
	})
}

func TestAdminIndexNamesEveryPath(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, v := operate(t, Config{})
		<-s.Started()
		for line := range strings.Lines(adminIndex) {
			path, _, _ := strings.Cut(line, " ")
			code, _, _ := v.get("http://edge:9090" + path)
			require.Equal(t, http.StatusOK, code, path)
		}
	})
}

func TestReadyzSaysWhyInEveryPhase(t *testing.T) {
	bubble(t, func(t *testing.T) {
		calm := make(chan struct{})
		e := &echo{
			call: func(context.Context) error { time.Sleep(7 * time.Second); return nil },
			check: func() error {
				select {
				case <-calm:
					return nil
				default:
					return errors.New("warming up")
				}
			},
		}
		s, v := operate(t, Config{Roles: []Role{serves("a", e, "nobody")}, WaitNeeds: 3 * time.Second, Drain: 5 * time.Second})
		ready := func() string {
			synctest.Wait()
			code, text, _ := v.get("http://edge:9090/readyz")
			return http.StatusText(code) + ", " + text
		}
		require.Equal(t, "Service Unavailable, a-1: waiting: waiting for [nobody]\n", ready())
		time.Sleep(4 * time.Second)
		require.Equal(t, "Service Unavailable, a-1: waiting: warming up\n", ready())
		close(calm)
		<-s.Started()
		require.Equal(t, "OK, a-1: serving\n", ready())
		c := outside(t, s.cfg.Fabric, "a")
		go func() { _ = call(c) }()
		synctest.Wait()
		s.stop()
		require.Equal(t, "Service Unavailable, a-1: draining\n", ready())
		time.Sleep(6 * time.Second)
		require.Equal(t, "Service Unavailable, a-1: stopping\n", ready())
		<-s.ended
		require.NoError(t, s.err)
		_, _, err := v.ask("http://edge:9090/readyz")
		require.Error(t, err, "nobody answers any more")
	})
}

func TestAdminServesUntilTheLastInstanceHasGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, v := operate(t, Config{Drain: 5 * time.Second})
		<-s.Started()
		s.stop()
		time.Sleep(6 * time.Second) // www was called by nobody and has gone; a drains
		code, text, _ := v.get("http://edge:9090/readyz")
		require.Equal(t, http.StatusServiceUnavailable, code)
		require.Equal(t, "www-1: gone\na-1: draining\n", text)
	})
}

func TestMetricsTellOfCallsBothWays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		www := Role{Name: "www", Edge: true, New: func(env *Env) (Service, error) {
			conn, err := env.Dial("a")
			return web{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if call(grpc_testing.NewTestServiceClient(conn)) != nil {
					w.WriteHeader(http.StatusBadGateway)
				}
			})}, err
		}}
		s, v := operate(t, Config{Roles: []Role{www, serves("a", new(echo))}})
		<-s.Started()
		code, _, _ := v.get("http://edge:8080/")
		require.Equal(t, http.StatusOK, code)
		_, text, _ := v.get("http://edge:9090/metrics")
		for _, want := range []string{
			`http_server_request_duration_seconds_count{code="2xx",host="www-1",role="www"} 1`,
			`grpc_client_handled_total{grpc_code="OK",grpc_method="EmptyCall",grpc_service="grpc.testing.TestService",grpc_type="unary",host="www-1",role="www"} 1`,
			`grpc_server_handled_total{grpc_code="OK",grpc_method="EmptyCall",grpc_service="grpc.testing.TestService",grpc_type="unary",host="a-1",role="a"} 1`,
			"process_start_time_seconds", "go_build_info",
		} {
			require.Contains(t, text, want)
		}
		problems, err := promlint.New(strings.NewReader(text)).Lint()
		require.NoError(t, err)
		require.Empty(t, problems)
	})
}
