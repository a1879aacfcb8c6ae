package proxy

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"example.com/app/platform/errs"
	"example.com/app/platform/proxy/http1"
)

// ServeHTTP answers a request with what an instance of the route's service
// answers. Its own answers: 404 without a route, 400 for a path in no canonical
// form, 405 for CONNECT and TRACE, 413, 408 and 400 for a body that is too
// large, too slow or broken off, 503 when no instance is listed, 504 when the
// backend takes too long, and 502 for everything else that is wrong with it.
// An answer that breaks off later is broken off here too, never ended.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	route, ok := p.routes.match(r.URL.Path)
	x := &exchange{ResponseWriter: w, request: r, service: route.Service}
	if !ok {
		p.config.Error(x, r, errs.NotFound.New("nothing is served under this path"))
		return
	}
	began := time.Now()
	cut := true // until ServeHTTP returns without a panic
	defer func() { p.services[route.Service].count.observe(x, cut, time.Since(began)) }()
	if r.Method == http.MethodConnect || r.Method == http.MethodTrace {
		w.Header().Set("Allow", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")
		p.config.Error(x, r, errs.Unsupported.New("method %s is not forwarded", r.Method).Status(http.StatusMethodNotAllowed))
	} else if err := checkURL(r.URL); err != nil {
		p.config.Error(x, r, err)
	} else if plain(r) && p.services[route.Service].tls == nil {
		p.forward(x, r, route)
	} else {
		p.reverse.ServeHTTP(x, r)
	}
	cut = false
}

// fail answers a request that got no answer.
func (p *Proxy) fail(w http.ResponseWriter, r *http.Request, err error) {
	x := w.(*exchange)
	reply := explain(x.service, r, err)
	log := p.config.Log.Warn
	if errs.HTTP(reply) < http.StatusInternalServerError {
		log = p.config.Log.Debug
	}
	log("request not answered by its backend", "service", x.service, "method", r.Method, "status", errs.HTTP(reply), "error", err)
	if x.code == 0 { // else the connection is no longer HTTP
		p.config.Error(x, x.request, reply)
	}
}

// explain is an error that says whose fault err is, and tells a client no more
// than that.
func explain(service string, r *http.Request, err error) *errs.Error {
	var (
		tooLarge *http.MaxBytesError
		client   *clientError
		dial     *dialError
		timeout  net.Error
	)
	switch {
	case errors.As(err, &tooLarge):
		return errs.Invalid.New("the body has more than %d bytes", tooLarge.Limit).Because("BODY_TOO_LARGE").Status(http.StatusRequestEntityTooLarge)
	case errors.Is(r.Context().Err(), context.Canceled):
		return errs.Cancelled.New("the request was cancelled")
	case errors.As(err, &client) && errors.Is(err, os.ErrDeadlineExceeded):
		return errs.Deadline.New("the body did not come in time").Status(http.StatusRequestTimeout)
	case errors.As(err, &client):
		return errs.Invalid.New("the body broke off")
	case errors.Is(err, errNoInstance):
		return errs.Unavailable.New("no instance of service %q is up", service).Because("NO_INSTANCE", "service", service)
	case errors.Is(err, errClosed):
		return errs.Unavailable.New("shutting down")
	case errors.Is(err, http1.ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return errs.Deadline.New("service %q did not answer in time", service).Because("BACKEND_TIMEOUT", "service", service)
	case errors.As(err, &dial):
		return errs.Unavailable.New("no instance of service %q can be reached", service).Because("BACKEND_REFUSED", "service", service).Status(http.StatusBadGateway)
	}
	return errs.Unavailable.New("service %q did not answer as it should", service).Because("BACKEND_BROKEN", "service", service).Status(http.StatusBadGateway)
}

// writeJSON is the default Config.Error.
func writeJSON(w http.ResponseWriter, _ *http.Request, err error) {
	s := status.Convert(err)
	body, merr := protojson.Marshal(s.Proto())
	if merr != nil {
		body = []byte(`{}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(errs.HTTP(err))
	_, _ = w.Write(body)
}

// An exchange is a request and the answer to it as far as it has been written.
type exchange struct {
	http.ResponseWriter
	request *http.Request // as it came
	service string
	code    int   // 0: nothing written yet
	left    int64 // bytes of the body still to come; below 0: who knows
}

// WriteHeader notes the status; an informational one is not the answer.
func (x *exchange) WriteHeader(code int) {
	x.ResponseWriter.WriteHeader(code)
	if x.code != 0 || code < 200 && code != http.StatusSwitchingProtocols {
		return
	}
	x.code, x.left = code, -1
	if n, err := strconv.ParseInt(x.Header().Get("Content-Length"), 10, 64); err == nil {
		x.left = n
	} else {
		x.flush()
	}
}

// Write passes everything on at once, so that a stream is read as it is
// written, but for the end of a body whose length is known: the end of the
// request does that anyway, and most answers are one write.
//
// ReverseProxy would flush too, but from a timer and under a mutex that it holds
// while it writes: a client that does not read would stop virtual time.
func (x *exchange) Write(b []byte) (int, error) {
	if x.code == 0 {
		x.WriteHeader(http.StatusOK)
	}
	if x.left == int64(len(b)) { // most answers
		x.left = 0
		return x.ResponseWriter.Write(b)
	}
	control := http.NewResponseController(x.ResponseWriter)
	// Where no deadline can be set, which is in tests alone, the client has all
	// the time of the world.
	_ = control.SetWriteDeadline(time.Now().Add(readerGrace))
	n, err := x.ResponseWriter.Write(b)
	if x.left >= 0 {
		x.left = max(x.left-int64(n), 0)
	}
	if x.left != 0 {
		_ = control.Flush()
	}
	_ = control.SetWriteDeadline(time.Time{}) // or HTTP/2 would reset a stream that is silent
	return n, err
}

// readerGrace is how long a client may take to read a piece of a long answer
// (at most bufferSize bytes). One that asks and does not read would hold its
// connection, and the backend's, for ever.
const readerGrace = time.Minute

func (x *exchange) flush() { _ = http.NewResponseController(x.ResponseWriter).Flush() }

// Hijack is how a websocket begins.
func (x *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, b, err := http.NewResponseController(x.ResponseWriter).Hijack()
	if err == nil {
		x.code = http.StatusSwitchingProtocols
	}
	return c, b, err
}

// Unwrap lets http.ResponseController find the rest, Flush above all.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// buffers keeps what bodies are copied through.
type buffers struct{ pool sync.Pool }

const bufferSize = 32 << 10

func (b *buffers) Get() []byte {
	if a, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return a[:]
	}
	return make([]byte, bufferSize)
}

func (b *buffers) Put(s []byte) { b.pool.Put((*[bufferSize]byte)(s)) }
