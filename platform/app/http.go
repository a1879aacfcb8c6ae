package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	"example.com/app/platform/balance"
	"example.com/app/platform/identity"
	"example.com/app/platform/resilience"
	"example.com/app/platform/rpc"
	"example.com/app/platform/telemetry/audit"
	"example.com/app/platform/transcode"
)

// An httpServer serves a role that is an http.Handler, with the limits that
// net/http leaves open.
type httpServer struct {
	http     http.Server
	inFlight atomic.Int64
	draining atomic.Bool
	served   atomic.Bool
	fresh    fresh
	cut      context.CancelFunc // ends the contexts of all requests
	guard    *guard             // who may ask; nil: anybody
	tls      *tls.Config        // nil: plain text
}

func newHTTPServer(in *instance, handler http.Handler) *httpServer {
	life, cut := context.WithCancel(context.Background())
	s := &httpServer{cut: cut}
	switch {
	case in.role.Edge:
		s.tls = in.node.cfg.Gate.TLS
	case in.guard.workload != nil:
		s.guard, s.tls = in.guard, in.guard.workload.ServerTLS()
	}
	s.http = http.Server{
		Handler:           s.around(in, handler),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       uploadGrace, // for what no handler sees; timed sets its own
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		HTTP2:             limitsOfHTTP2(),
		ErrorLog:          slog.NewLogLogger(in.env.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return life },
		ConnState:         s.fresh.note,
	}
	return s
}

// limitsOfHTTP2 bounds what a connection may hold, where it speaks HTTP/2: calls
// at a time, and bytes that nobody has read. A peer that neither answers a PING
// nor takes what is written to it is cut.
func limitsOfHTTP2() *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams:          250,
		MaxReadFrameSize:              16 << 10,
		MaxReceiveBufferPerStream:     256 << 10,
		MaxReceiveBufferPerConnection: 1 << 20,
		SendPingTimeout:               30 * time.Second,
		PingTimeout:                   15 * time.Second,
		WriteByteTimeout:              30 * time.Second,
	}
}

// around counts and measures every request, and asks clients of a server that
// drains to come back on another connection.
func (s *httpServer) around(in *instance, handler http.Handler) http.Handler {
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_server_request_duration_seconds", Help: "How long HTTP requests took, by status class.",
		Buckets: prometheus.DefBuckets,
	}, []string{"code"})
	in.env.Metrics.MustRegister(seconds)
	workers, limiter, observe := in.workers(), in.limiter(), in.node.cfg.Observe
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		s.inFlight.Add(1)
		if s.draining.Load() && r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close")
		}
		// A handler that panics is counted as what its caller gets: no answer.
		answer := &recorder{ResponseWriter: w, code: http.StatusInternalServerError}
		r = timed(w, r)
		defer func() {
			s.inFlight.Add(-1)
			took := time.Since(start)
			seconds.WithLabelValues(class(answer.code)).Observe(took.Seconds())
			if observe != nil {
				observe(Call{in.role.Name, in.host, rpc.Call{
					Method: r.Method + " " + r.URL.Path, Code: asCode(answer.code), Duration: took, ID: r.Header.Get("X-Request-Id"), Peer: r.RemoteAddr,
				}})
			}
			in.env.Log.LogAttrs(r.Context(), slog.LevelDebug, "request", slog.String("method", r.Method),
				slog.String("path", r.URL.Path), slog.Int("status", answer.code), slog.Duration("took", took))
			if p := recover(); p != nil {
				abort(r, in.env.Log, p)
			}
		}()
		place, err := limiter.Acquire(r.Context(), resilience.Ask{Client: caller(r)})
		if err == nil {
			answer.limited(place)
			defer answer.end()
			err = s.admit(r)
		}
		if err == nil {
			err = workers.Do(r.Context(), func() error { handler.ServeHTTP(answer, r); return nil })
		}
		if err != nil {
			transcode.WriteError(answer, r, err)
		}
		answer.wrote(http.StatusOK) // what net/http sends for a handler that says nothing
	})
}

// abort tells of a handler that panicked, and drops the connection: nobody knows
// what has been written. ErrAbortHandler is how a handler asks for that.
func abort(r *http.Request, log *slog.Logger, panicked any) {
	if panicked != http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
		log.LogAttrs(r.Context(), slog.LevelError, "a handler panicked", slog.String("method", r.Method), slog.String("path", r.URL.Path),
			slog.Any("panic", panicked), slog.String("stack", string(debug.Stack())))
	}
	panic(http.ErrAbortHandler)
}

// admit asks the guard whether the workload that sent a request may.
func (s *httpServer) admit(r *http.Request) error {
	if s.guard == nil {
		return nil
	}
	peer, _ := identity.PeerOf(r.TLS)
	err := s.guard.admitPeer(peer.Role())
	if err != nil {
		s.guard.denied(r.Context(), audit.Denial{Method: r.Method, Peer: peer.String(), RequestID: r.Header.Get("X-Request-Id")}, err)
	}
	return err
}

// caller is a hash of who sent a request: its address, without the port, which
// is another one for each connection that a browser opens.
func caller(r *http.Request) uint64 {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return balance.Hash(host)
}

// Serve answers requests on ln until Stop.
func (s *httpServer) Serve(ln net.Listener) error {
	if s.tls != nil {
		ln = tls.NewListener(ln, s.tls)
	}
	if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	}
	return nil
}

// SetServing(false) begins the drain, once the server has been serving.
func (s *httpServer) SetServing(serving bool) {
	if serving {
		s.served.Store(true)
	}
	s.draining.Store(!serving && s.served.Load())
}

// InFlight is the number of requests that are being answered.
func (s *httpServer) InFlight() int { return int(s.inFlight.Load()) }

// Stop takes no new requests, lets those in flight end, and cuts what is left
// when ctx ends. It returns the number that was cut.
func (s *httpServer) Stop(ctx context.Context) int {
	defer s.cut()
	patience := time.AfterFunc(time.Second, s.fresh.close)
	defer patience.Stop()
	if s.http.Shutdown(ctx) == nil && s.idle(ctx) {
		return 0
	}
	cut := s.InFlight()
	_ = s.http.Close() // the listener is closed already, and the rest has no one to tell
	return cut
}

// idle waits for the connections that a handler took over (websockets), which
// Shutdown knows nothing of. It reports whether the last one ended before ctx.
func (s *httpServer) idle(ctx context.Context) bool {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for s.InFlight() > 0 {
		select {
		case <-again.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func class(code int) string { return string('0'+byte(code/100)) + "xx" }

// asCode tells good from bad for those who count calls of both protocols.
func asCode(status int) codes.Code {
	switch {
	case status < 400:
		return codes.OK
	case status == http.StatusTooManyRequests:
		return codes.ResourceExhausted
	case status < 500:
		return codes.InvalidArgument
	case status == http.StatusGatewayTimeout:
		return codes.DeadlineExceeded
	default:
		return codes.Unavailable
	}
}
