package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"example.com/app/platform/network"
)

// An admin answers those who operate the node: is it alive, is it ready, what
// does it count, what does it do.
type admin struct {
	node *Node
	ln   net.Listener
	http http.Server
}

const adminIndex = `/livez            200 while the process runs (also /healthz)
/readyz           200 when every instance can be found and answers, else 503 and the reasons
/metrics          counters for Prometheus
/buildinfo        version, modules, build settings
/debug/pprof/     profiles
`

func newAdmin(ctx context.Context, n *Node) (*admin, error) {
	var net network.Network = new(network.TCP)
	if n.cfg.Edge != nil {
		net = n.cfg.Edge
	}
	ln, err := net.Listen(ctx, n.cfg.Admin)
	if err != nil {
		return nil, fmt.Errorf("start admin: %w", err)
	}
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector(),
	} {
		if err := n.cfg.Metrics.Register(c); err != nil && !errors.As(err, &prometheus.AlreadyRegisteredError{}) {
			_ = ln.Close()
			return nil, fmt.Errorf("admin: %w", err)
		}
	}
	a := &admin{node: n, ln: ln}
	a.http = http.Server{Handler: a.routes(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	return a, nil
}

func (a *admin) routes() http.Handler {
	mux := http.NewServeMux()
	alive := func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok\n") }
	mux.HandleFunc("GET /livez", alive)
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.node.cfg.Metrics, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /buildinfo", func(w http.ResponseWriter, _ *http.Request) {
		info, _ := debug.ReadBuildInfo()
		plain(w, http.StatusOK, fmt.Sprintf("version\t%s\n%s", a.node.cfg.Version, info))
	})
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, adminIndex) })
	return mux
}

// readyz says of each instance how it is.
func (a *admin) readyz(w http.ResponseWriter, _ *http.Request) {
	code, lines := http.StatusOK, ""
	for _, in := range a.node.instances {
		ok, text := in.state.ready()
		if !ok {
			code = http.StatusServiceUnavailable
		}
		lines += in.host + ": " + text + "\n"
	}
	plain(w, code, lines)
}

func plain(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text)) // who asked has gone
}

// run serves until the last instance has gone, and a moment for the answers
// under way.
func (a *admin) run() error {
	over := make(chan struct{})
	go func() {
		defer close(over)
		for _, in := range a.node.instances {
			<-in.gone
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if a.http.Shutdown(ctx) != nil {
			_ = a.http.Close() // cuts a profile that somebody is still taking
		}
	}()
	if err := a.http.Serve(a.ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin: %w", err)
	}
	<-over
	return nil
}
