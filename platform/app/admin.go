package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime/debug"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"example.com/app/platform/network"
	"example.com/app/platform/registry"
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
/debug/discovery  what each instance believes of the roles it calls, and since when
/debug/balance    how calls to each role are shared, and why the last one went where it did; ?role=NAME, ?format=json
/debug/certs      the certificates that instances show, and the roots of a CA in memory
/debug/pprof/     profiles
`

func newAdmin(ctx context.Context, n *Node) (*admin, error) {
	var edge network.Network = new(network.TCP)
	if n.cfg.Edge != nil {
		edge = n.cfg.Edge
	}
	ln, err := edge.Listen(ctx, n.cfg.Admin)
	if err != nil {
		return nil, fmt.Errorf("start admin: %w", err)
	}
	door, err := doorOf(ln.Addr(), n.cfg)
	if err != nil {
		_ = ln.Close()
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
	door.next = a.routes()
	a.http = http.Server{
		Handler: door, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		WriteTimeout:   5 * time.Minute, // the longest profile, and who never reads an answer
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(n.cfg.Log.Handler(), slog.LevelDebug),
	}
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
	mux.HandleFunc("GET /debug/discovery", a.discovery)
	mux.HandleFunc("GET /debug/balance", a.balance)
	mux.HandleFunc("GET /debug/certs", a.certs)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.Handle("/debug/pprof/cmdline", http.NotFoundHandler()) // arguments may tell what is nobody's business
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

// discovery says what each instance believes of the roles it watches.
func (a *admin) discovery(w http.ResponseWriter, _ *http.Request) {
	var text bytes.Buffer
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "HOST\tROLE\tSTATE\tINSTANCES\tAGE\tINDEX\tLAST ERROR")
	for _, in := range a.node.instances {
		for _, s := range in.believes() {
			reason := "-"
			if s.Err != nil {
				reason = s.Err.Error()
			}
			_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%v\t%d\t%s\n", in.host, s.Role, s.State, s.Instances, s.Age.Round(time.Millisecond), s.Index, reason)
		}
	}
	_ = t.Flush() // into memory
	plain(w, http.StatusOK, text.String())
}

// believes is what the instance's registry tells of the roles it watches.
func (in *instance) believes() []registry.Status {
	if r, ok := in.registry.(registry.Reporter); ok {
		return r.Status()
	}
	return nil
}

func plain(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
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
