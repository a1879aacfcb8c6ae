package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"example.com/app/platform/balance"
	"example.com/app/platform/network"
)

// What can go wrong on the way to a backend. None is ever shown to a client.
var (
	errNoInstance = errors.New("no instance is listed")
	errClosed     = errors.New("the proxy has ended")
	errSlow       = errors.New("the backend took too long")
)

// A dialError is an attempt to connect that failed: nothing was sent.
type dialError struct {
	addr string
	err  error
}

func (e *dialError) Error() string { return fmt.Sprintf("dial %s: %v", e.addr, e.err) }
func (e *dialError) Unwrap() error { return e.err }

// A carrier carries a request, whose URL names a service as its host, to one of
// the instances of that service. It is an http.RoundTripper.
type carrier struct {
	config    Config
	services  map[string]*service
	transport *http.Transport
	lines     lines
}

func newCarrier(c Config, services map[string]*service) *carrier {
	t := &carrier{config: c, services: services}
	t.transport = &http.Transport{
		DialContext:            func(ctx context.Context, _, addr string) (net.Conn, error) { return t.dial(ctx, c.Network, addr) },
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
	out := req.WithContext(ctx)
	u := *req.URL
	out.URL = &u
	if req.Body != nil {
		out.Body = &upload{body: req.Body, patience: patience}
	}
	res, err := t.send(s, out)
	patience.end()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause // tells whose patience ended
		}
		cancel(nil)
		return nil, err
	}
	t.pace(res, cancel)
	return res, nil
}

// send tries the instances one after another until one takes the connection.
// The last error is that of a dial, or the request may have been seen.
func (t *carrier) send(s *service, req *http.Request) (*http.Response, error) {
	var call balance.Call
	last := errNoInstance
	for {
		f, ok := s.balancer.Pick(call)
		if !ok {
			return nil, last
		}
		req.URL.Host = f.Peer.Instance().Addr
		res, err := t.transport.RoundTrip(req)
		if dial := (*dialError)(nil); !errors.As(err, &dial) || req.Context().Err() != nil {
			f.Done(outcome(req, res, err))
			return res, err
		}
		f.Done(balance.Unreachable)
		call.Avoid = append(call.Avoid, f.Peer.ID())
		last = err
	}
}

// outcome is how an exchange ended, for the balancer.
func outcome(req *http.Request, res *http.Response, err error) balance.Outcome {
	switch {
	case err != nil && context.Cause(req.Context()) == context.Canceled:
		return balance.GivenUp
	case err != nil, res.StatusCode >= http.StatusInternalServerError && res.StatusCode != http.StatusNotImplemented:
		return balance.Failed
	}
	return balance.OK
}

// dial opens a line to an instance.
func (t *carrier) dial(ctx context.Context, n network.Network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, t.config.DialTimeout)
	defer cancel()
	hangUp, ok := t.lines.add(cancel)
	if !ok {
		return nil, errClosed
	}
	defer hangUp()
	conn, err := n.Dial(ctx, addr)
	if err != nil {
		return nil, &dialError{addr, err}
	}
	return t.lines.keep(conn)
}

// close ends every connection, in use or not, and every attempt at one.
func (t *carrier) close() {
	t.lines.close()
	t.transport.CloseIdleConnections()
}
