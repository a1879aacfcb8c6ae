package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"example.com/app/platform/balance"
	"example.com/app/platform/proxy/http1"
)

// What can go wrong on the way to a backend. None is ever shown to a client.
var (
	errNoInstance = errors.New("no instance is listed")
	errClosed     = errors.New("the proxy has ended")
)

// A dialError is an attempt to connect that failed: nothing was sent.
type dialError struct {
	addr string
	err  error
}

func (e *dialError) Error() string { return fmt.Sprintf("dial %s: %v", e.addr, e.err) }
func (e *dialError) Unwrap() error { return e.err }

// A carrier carries requests to the instances of services. It is an
// http.RoundTripper for requests whose URL names a service as its host.
type carrier struct {
	config    Config
	services  map[string]*service
	client    *http1.Client   // for plain requests
	transport *http.Transport // for the others
	lines     lines
	texts     texts
}

func newCarrier(c Config, services map[string]*service) *carrier {
	t := &carrier{config: c, services: services}
	t.client = http1.New(http1.Config{
		Dial:             t.dial,
		IdleConnsPerHost: c.IdleConnsPerHost,
		IdleTimeout:      c.IdleTimeout,
		MaxHeaderBytes:   int(c.MaxResponseHeaderBytes),
	})
	t.transport = &http.Transport{
		DialContext:            func(ctx context.Context, _, addr string) (net.Conn, error) { return t.dial(ctx, addr) },
		DialTLSContext:         t.dialTLS,
		DisableCompression:     true, // bodies pass as they are
		MaxIdleConnsPerHost:    c.IdleConnsPerHost,
		IdleConnTimeout:        c.IdleTimeout,
		MaxResponseHeaderBytes: c.MaxResponseHeaderBytes,
		ExpectContinueTimeout:  time.Second,
	}
	return t
}

// RoundTrip waits until the service is known, sends the request, and watches
// over how long the backend takes. It leaves the body of req open: whoever made
// the request closes it.
func (t *carrier) RoundTrip(req *http.Request) (*http.Response, error) {
	s := t.services[req.URL.Host]
	if err := s.wait(req.Context(), t.config.FirstSet); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	patience := newPatience(t.config.ResponseHeaderTimeout, cancel)
	u := *req.URL
	if s.tls != nil {
		u.Scheme = "https"
		ctx = context.WithValue(ctx, secured{}, s)
	}
	out := req.WithContext(ctx)
	out.URL = &u
	if req.Body != nil {
		out.Body = &upload{body: req.Body, patience: patience}
	}
	res, f, err := t.send(s, out)
	patience.end()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause // tells whose patience ended
		}
		cancel(nil)
		return nil, err
	}
	t.watch(req.Context(), res, f, cancel)
	return res, nil
}

// send tries the instances one after another until one takes the connection,
// and returns the flight with the answer. The last error is that of a dial, or
// the request may have been seen.
func (t *carrier) send(s *service, req *http.Request) (*http.Response, balance.Flight, error) {
	call := balance.Call{Key: s.key(req.Header), Long: wantsWebsocket(req)}
	last := errNoInstance
	for {
		f, ok := s.balancer.Pick(call)
		if !ok {
			return nil, balance.Flight{}, last
		}
		req.URL.Host = f.Peer.Instance().Addr
		res, err := t.transport.RoundTrip(req)
		if err == nil {
			f.Answer(t.config.judge(res.StatusCode))
			return res, f, nil
		}
		if dial := (*dialError)(nil); !errors.As(err, &dial) || req.Context().Err() != nil {
			f.Done(outcome(req.Context(), err))
			return nil, balance.Flight{}, err
		}
		f.Done(balance.Unreachable)
		call.Avoid = append(call.Avoid, f.Peer.ID())
		last = err
	}
}

// judge is what a status says of the instance that gave it.
func (c Config) judge(status int) balance.Outcome {
	if c.Failure(status) {
		return balance.Failed
	}
	return balance.OK
}

// failure is the default Config.Failure.
func failure(status int) bool {
	return status >= http.StatusInternalServerError && status != http.StatusNotImplemented
}

// outcome is how an exchange that broke off ended, for the balancer: what the
// client broke off is no matter of the instance.
func outcome(ctx context.Context, err error) balance.Outcome {
	client, reader := (*clientError)(nil), (*readerError)(nil)
	if errors.As(err, &client) || errors.As(err, &reader) || errors.Is(context.Cause(ctx), context.Canceled) {
		return balance.GivenUp
	}
	return balance.Failed
}

// dial opens a line to an instance.
func (t *carrier) dial(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, t.config.DialTimeout)
	defer cancel()
	hangUp, ok := t.lines.add(cancel)
	if !ok {
		return nil, errClosed
	}
	defer hangUp()
	conn, err := t.config.Network.Dial(ctx, addr)
	if err != nil {
		return nil, &dialError{addr, err}
	}
	return t.lines.keep(conn)
}

// secured is the context's key of the service that a connection is dialled for.
type secured struct{}

// dialTLS is dial for a service that is connected to over TLS. A handshake that
// fails is a dial that failed: nothing was sent.
func (t *carrier) dialTLS(ctx context.Context, _, addr string) (net.Conn, error) {
	s, _ := ctx.Value(secured{}).(*service)
	conn, err := t.dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, t.config.DialTimeout)
	defer cancel()
	c := tls.Client(conn, s.tls)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, &dialError{addr, err}
	}
	return c, nil
}

// close ends every connection, in use or not, and every attempt at one.
func (t *carrier) close() {
	t.lines.close()
	t.client.Close()
	t.transport.CloseIdleConnections()
}
