// Package edge is what stands between the open internet and the gateway.
//
// Every request passes it once, before anything reads its path or its headers
// for a purpose: who sent it is found out, what could be read in two ways is
// refused, headers by which a client could pass for another are dropped, and
// those who ask too often are told to wait. Every answer gets the headers that
// keep a browser from doing foolish things with it.
package edge

import (
	"crypto/rand"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/app/platform/auth"
	"example.com/app/platform/edge/canonical"
	"example.com/app/platform/errs"
	"example.com/app/platform/transcode"
)

// A Config says how strict the edge is. The zero value is the default.
type Config struct {
	Rate    Rate        // of each client; the zero value means 1000/s,burst=2000
	Routes  []RouteRate // of each client under a path; the longest prefix counts
	Clients int         // how many clients are remembered; 0 means 65,536

	// Client names who is limited, as proven by a token that was verified; empty:
	// nobody has proven anything, and the address counts. What a token says that
	// was not verified must not be used, or everybody could be anybody. It is
	// called from many goroutines. Nil: the principal in the request's context
	// (auth.From), its client and its subject.
	Client func(r *http.Request) string

	// Origins are the web origins whose scripts may read answers, as in
	// "https://app.example.com" (RFC 6454). Empty: none may.
	Origins []string

	// Proxies are the networks of proxies in front of this edge that are believed
	// when they say whom they speak for (X-Forwarded-For, X-Forwarded-Proto).
	// Empty: none is.
	Proxies []netip.Prefix

	// Policy is the Content-Security-Policy of answers that have none of their
	// own; empty means DefaultPolicy.
	Policy string

	MaxURL     int // bytes of a request's target; 0 means 8 KiB
	MaxHeaders int // fields of a request's header; 0 means 100

	// Refused is told of each request that is refused here. It must not wait, and
	// is called from many goroutines. Nil: nobody is told.
	Refused func(Refusal)

	NewID func() string    // makes a request id; nil means at random
	Now   func() time.Time // nil means time.Now
}

// A Refusal is a request that was refused at the edge.
type Refusal struct {
	Request *http.Request // must not be changed
	Address string        // of the client, without a port
	Err     error         // why, with a kind and a reason (auth.Reason)
}

// DefaultPolicy lets a page load what comes from its own origin, run no inline
// script and be framed by nobody (CSP level 3).
const DefaultPolicy = "default-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

// Edge is the http.Handler that New makes. It may be called from many
// goroutines, and owns none.
type Edge struct {
	cfg     Config
	next    http.Handler
	origins []string
	limits  *limiter
	all     []bucket      // of a client, one or none
	routes  []routeBucket // the closest first
}

// A routeBucket limits what is under a prefix. One without a bucket lifts the
// limit of a shorter prefix.
type routeBucket struct {
	RouteRate
	buckets []bucket
}

// New puts an edge in front of next. The error is of kind errs.Invalid.
func New(cfg Config, next http.Handler) (*Edge, error) {
	e := &Edge{cfg: cfg.withDefaults(), next: next}
	if err := e.cfg.Rate.Validate(); err != nil {
		return nil, err
	}
	if b, ok := newBucket("client", e.cfg.Rate); ok {
		e.all = []bucket{b}
	}
	for _, r := range longest(cfg.Routes) {
		if err := r.Rate.Validate(); err != nil {
			return nil, errs.Invalid.New("route rate of %s: %w", r.Prefix, err)
		}
		limited := routeBucket{RouteRate: r}
		if b, ok := newBucket("route", r.Rate); ok {
			limited.buckets = []bucket{b}
		}
		e.routes = append(e.routes, limited)
	}
	for _, origin := range cfg.Origins {
		if err := checkOrigin(origin); err != nil {
			return nil, err
		}
	}
	e.origins = slices.Clone(cfg.Origins)
	e.limits = newLimiter(e.cfg.Clients)
	return e, nil
}

func (c Config) withDefaults() Config {
	if c.Rate == (Rate{}) {
		c.Rate = Rate{Count: 1000, Burst: 2000}
	}
	if c.Clients <= 0 {
		c.Clients = 1 << 16
	}
	if c.Client == nil {
		c.Client = proven
	}
	if c.Policy == "" {
		c.Policy = DefaultPolicy
	}
	if c.MaxURL == 0 {
		c.MaxURL = 8 << 10
	}
	if c.MaxHeaders == 0 {
		c.MaxHeaders = 100
	}
	if c.NewID == nil {
		c.NewID = rand.Text
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// proven is whom the context names. The subject belongs to it: one client is
// often all browsers together, which must not use up each other's share.
func proven(r *http.Request) string {
	p := auth.From(r.Context())
	if p == nil {
		return ""
	}
	return p.Client + "\x00" + p.Subject
}

// ServeHTTP answers r itself, or hands it on: without headers that a client has
// no business sending, with a request id, and with the client's address as
// RemoteAddr. It changes r, which is its own.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from := e.clientOf(r)
	e.identify(r)
	a := &answer{ResponseWriter: w, edge: e, secure: from.secure}
	a.Header().Set(requestID, r.Header.Get(requestID))
	a.origin = e.origin(r)
	if err := e.check(r); err != nil {
		e.refuse(a, r, from, err)
		return
	}
	canonical.DropForged(r.Header)
	if from.host != "" {
		r.RemoteAddr = withHost(r.RemoteAddr, from.host)
	}
	if wait := e.limit(a, r, from); wait > 0 {
		a.Header().Set("Retry-After", strconv.Itoa(seconds(wait)))
		e.refuse(a, r, from, errs.Exhausted.New("too many requests; come back in %d s", seconds(wait)).Because("RATE_LIMIT"))
		return
	}
	if a.origin != "" && preflight(r) {
		allow(a)
		return
	}
	e.next.ServeHTTP(a, r)
	a.finish() // for a handler that says nothing
}

const requestID = "X-Request-Id"

// identify gives r an id that is safe to log and to send back. What follows
// finds a good one and keeps it.
func (e *Edge) identify(r *http.Request) {
	ids := r.Header[requestID]
	if len(ids) == 1 && ids[0] != "" && len(ids[0]) <= 128 && strings.Trim(ids[0],
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:") == "" {
		return
	}
	r.Header[requestID] = []string{e.cfg.NewID()}
}

// maxHost is what a name of the DNS (RFC 1035 §2.3.4) and a port take.
const maxHost = 253 + len(":65535")

// check refuses what has no business here, whoever sends it.
func (e *Edge) check(r *http.Request) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default: // CONNECT makes a tunnel, TRACE shows cookies to scripts (RFC 9110 §9.3.6, §9.3.8)
		return errs.Unsupported.New("this method is not allowed here").Because("METHOD_NOT_ALLOWED").Status(http.StatusMethodNotAllowed)
	}
	if max(len(r.RequestURI), len(r.URL.Path)+len(r.URL.RawQuery)) > e.cfg.MaxURL {
		return errs.Invalid.New("the URL is longer than %d bytes", e.cfg.MaxURL).Because("URL_TOO_LONG").Status(http.StatusRequestURITooLong)
	}
	if len(r.Host) > maxHost {
		return errs.Invalid.New("the host is longer than %d bytes", maxHost).Because("BAD_HOST")
	}
	fields := 0
	for _, values := range r.Header {
		fields += len(values)
	}
	if fields > e.cfg.MaxHeaders {
		return errs.Invalid.New("the header has more than %d fields", e.cfg.MaxHeaders).
			Because("TOO_MANY_HEADERS").Status(http.StatusRequestHeaderFieldsTooLarge)
	}
	return canonical.CheckURL(r.URL)
}

// limit says how long the client has to wait, and tells it what is left.
func (e *Edge) limit(a *answer, r *http.Request, from client) time.Duration {
	key := "addr " + from.key()
	if who := e.cfg.Client(r); who != "" {
		key = "client " + who
	}
	var demands []demand
	for _, b := range e.all {
		demands = append(demands, demand{key, b})
	}
	for _, route := range e.routes {
		if route.covers(r.URL.Path) {
			for _, b := range route.buckets {
				demands = append(demands, demand{route.Prefix + " " + key, b})
			}
			break
		}
	}
	if len(demands) == 0 {
		return 0
	}
	v := e.limits.take(e.cfg.Now(), demands...)
	policy, state := v.fields()
	a.Header()["Ratelimit-Policy"], a.Header()["Ratelimit"] = []string{policy}, []string{state}
	return min(v.wait, math.MaxInt64-time.Second)
}

// refuse answers r with err, and tells of it.
func (e *Edge) refuse(a *answer, r *http.Request, from client, err error) {
	if errs.HTTP(err) == http.StatusMethodNotAllowed {
		a.Header().Set("Allow", allowMethods)
	}
	transcode.WriteError(a, r, err)
	if e.cfg.Refused != nil {
		e.cfg.Refused(Refusal{Request: r, Address: from.host, Err: err})
	}
}
