package proxy

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/app/platform/balance"
	"example.com/app/platform/proxy/http1"
)

// texts keeps what requests are written into.
type texts struct{ pool sync.Pool }

func (t *texts) get() *[]byte {
	if b, ok := t.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, 4<<10)
	return &b
}

// put takes a text back, unless it has grown beyond what most need.
func (t *texts) put(b *[]byte) {
	if cap(*b) <= 64<<10 {
		*b = (*b)[:0]
		t.pool.Put(b)
	}
}

// forward answers a plain request. What goes wrong once the answer has begun
// breaks it off: net/http takes a panic for that.
func (p *Proxy) forward(x *exchange, r *http.Request, route Route) {
	res, flight, err := p.carrier.ask(x, r, route)
	if err != nil {
		p.fail(x, r, err)
		return
	}
	whole, end := false, balance.GivenUp
	defer func() {
		res.Close()
		flight.Done(end)
		if !whole {
			panic(http.ErrAbortHandler)
		}
	}()
	announced := writeHead(x, res)
	if err := p.carrier.copy(x, res); err != nil {
		end = outcome(r.Context(), err)
		p.config.Log.Debug("answer broke off", "service", x.service, "error", err)
		return
	}
	end = balance.OK
	writeTrailers(x, res, announced)
	whole = true
}

// ask sends a request to one instance after another until one takes the
// connection, and returns the answer and the flight, both to be ended. The
// request is sent again only where nothing of it was sent, or where a used
// connection turns out closed and repeating is harmless.
func (t *carrier) ask(x *exchange, r *http.Request, route Route) (*http1.Response, balance.Flight, error) {
	s := t.services[route.Service]
	var none balance.Flight
	if err := s.wait(r.Context(), t.config.FirstSet); err != nil {
		return nil, none, err
	}
	text := t.texts.get()
	defer t.texts.put(text)
	var err error
	if *text, err = appendRequest(*text, r, route); err != nil {
		return nil, none, err
	}
	s.budget.Call()
	call := balance.Call{Key: s.key(r.Header)}
	req := http1.Request{
		Text: *text, Head: r.Method == http.MethodHead, Until: time.Now().Add(t.config.ResponseHeaderTimeout), Inform: x.inform,
	}
	last := errNoInstance
	for {
		f, ok := s.balancer.Pick(call)
		if !ok {
			return nil, none, last
		}
		req.Addr, req.Fresh = f.Peer.Instance().Addr, false
		res, err := t.client.Do(r.Context(), &req)
		if errors.Is(err, http1.ErrUnanswered) && repeatable(r) && s.budget.Retry() {
			req.Fresh = true
			res, err = t.client.Do(r.Context(), &req)
		}
		switch dial := (*dialError)(nil); {
		case err == nil:
			f.Answer(t.config.judge(res.Status))
			return res, f, nil
		case !errors.As(err, &dial) || r.Context().Err() != nil || errors.Is(err, http1.ErrTimeout):
			f.Done(outcome(r.Context(), err))
			return nil, none, err
		}
		f.Done(balance.Unreachable)
		call.Avoid = append(call.Avoid, f.Peer.ID())
		last = err
	}
}

// appendRequest writes a whole request, and waits for its body for that.
func appendRequest(b []byte, r *http.Request, route Route) ([]byte, error) {
	b = appendHead(b, r, route)
	if r.ContentLength == 0 {
		return b, nil
	}
	head, n := len(b), int(r.ContentLength)
	b = slices.Grow(b, n)[:head+n]
	if _, err := io.ReadFull(r.Body, b[head:]); err != nil {
		return b, &clientError{err}
	}
	return b, nil
}

// repeatable reports whether a request may be sent again though a backend may
// have seen it: its method is idempotent (RFC 9110 9.2.2), and it has no body.
func repeatable(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return r.ContentLength == 0
	}
	return false
}

// inform passes an informational answer on.
func (x *exchange) inform(status int, header http.Header) {
	h := x.Header()
	before := maps.Clone(h)
	addHeader(h, header)
	x.WriteHeader(status)
	clear(h) // it is not of the answer to come
	maps.Copy(h, before)
}

// writeHead passes the head of an answer on, and returns how many trailers it
// announces.
func writeHead(x *exchange, res *http1.Response) int {
	h := x.Header()
	addHeader(h, res.Header)
	if len(res.Trailer) > 0 {
		h["Trailer"] = append(h["Trailer"], strings.Join(slices.Sorted(maps.Keys(res.Trailer)), ", "))
	}
	x.WriteHeader(res.Status)
	return len(res.Trailer)
}

// addHeader adds what is not for the next hop alone.
func addHeader(to, from http.Header) {
	hop := named(from["Connection"])
	for name, values := range from {
		switch {
		case name != "Content-Length" && endsHere(name) || slices.Contains(hop, name):
		case to[name] == nil:
			to[name] = values
		default:
			to[name] = append(to[name], values...)
		}
	}
}

// copy passes the body on as it comes.
func (t *carrier) copy(x *exchange, res *http1.Response) error {
	p := t.newPace(res.Header, res.Alarm())
	for {
		if !res.Ready() {
			if err := p.begin(); err != nil {
				return err
			}
		}
		piece, err := res.Next()
		p.end(len(piece))
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := x.Write(piece); err != nil {
			return &readerError{err}
		}
	}
}

// writeTrailers passes on what came behind the body. What was not announced is
// written under a prefix that net/http takes off.
func writeTrailers(x *exchange, res *http1.Response, announced int) {
	if len(res.Trailer) == 0 {
		return
	}
	x.flush() // with trailers the answer is in chunks, however short
	prefix := ""
	if len(res.Trailer) != announced {
		prefix = http.TrailerPrefix
	}
	for name, values := range res.Trailer {
		x.Header()[prefix+name] = append(x.Header()[prefix+name], values...)
	}
}
