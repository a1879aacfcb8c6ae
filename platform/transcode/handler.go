package transcode

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"

	"example.com/app/platform/errs"
	"example.com/app/platform/transcode/route"
)

// A handler takes each request in three steps: ServeHTTP sees it before it is
// routed, around once its route is known, and the generated code last.
type handler struct {
	cfg    Config
	mux    *runtime.ServeMux
	routes map[string]*route.Route
}

// A call is what the steps tell each other about one request.
type call struct {
	route  *route.Route // nil until it is routed, or where no proto says more
	body   []byte       // what the client sent
	head   bool         // the client asked for headers alone
	probe  bool         // nothing is called: only the route is sought
	routed bool         // a probe has found its route
	err    error        // what ended a stream
}

type callKey struct{}

// callOf is the call of a request that came through ServeHTTP.
func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{}
}

// withCall is a copy of r that carries c.
func withCall(r *http.Request, c *call) *http.Request {
	return r.Clone(context.WithValue(r.Context(), callKey{}, c))
}

// ServeHTTP answers one request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{head: r.Method == http.MethodHead}
	r = withCall(r, c)
	if c.head {
		r.Method = http.MethodGet
	}
	id := r.Header.Get(requestID)
	if !wellFormed(id) {
		id = h.cfg.NewID()
	}
	edge(r.Header)
	h.shorten(r.Header)
	r.Header.Set(requestID, id)
	w.Header().Set(requestID, id)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if err := checkURL(r.URL); err != nil {
		WriteError(w, r, err)
		return
	}
	h.mux.ServeHTTP(w, r)
}

const requestID = "X-Request-Id"

// wellFormed says whether an id from outside is safe to log and to send back.
func wellFormed(id string) bool {
	return id != "" && len(id) <= 128 && strings.Trim(id,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:") == ""
}

// edge drops the headers by which a client could pass for another: the gateway
// is where X-Forwarded-For begins. One name has one value from here on.
func edge(h http.Header) {
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Forwarded", requestID} {
		h.Del(name)
	}
}

// shorten leaves out what says how to answer, or where a trace is from, and is so
// long that a service might refuse the call for it, whose limit is not ours. W3C
// Trace Context asks for 512 bytes of Tracestate at least (§3.3.1.5).
func (h *handler) shorten(header http.Header) {
	for _, name := range []string{"Accept-Language", "Traceparent", "Tracestate"} {
		size := 0
		for _, value := range header[name] {
			size += len(value)
		}
		if size > h.cfg.MaxHint {
			header.Del(name)
		}
	}
}

// checkURL refuses what two readers could read in two ways, or what no proto
// string can hold.
func checkURL(u *url.URL) error {
	raw := strings.ToLower(u.EscapedPath())
	for _, bad := range []string{"%2f", "%5c", "%00", `\`} {
		if strings.Contains(raw, bad) {
			return errs.Invalid.New("the path must not contain %s", bad).Because("BAD_PATH")
		}
	}
	if !utf8.ValidString(u.Path) {
		return errs.Invalid.New("the path is not UTF-8").Because("BAD_PATH")
	}
	return nil
}

// fail answers a call that went wrong before anything was sent.
func (h *handler) fail(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	c := callOf(r.Context())
	if c.probe {
		return
	}
	WriteError(w, r, c.explain(err))
}

// unrouted answers a request that has no route.
func (h *handler) unrouted(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int) {
	if callOf(r.Context()).probe {
		return
	}
	switch code {
	case http.StatusMethodNotAllowed:
		NotAllowed(w, r, h.allowed(r)...)
	case http.StatusBadRequest:
		WriteError(w, r, errs.Invalid.New("the path must begin with a slash").Because("BAD_PATH"))
	default:
		WriteError(w, r, errs.NotFound.New("no such path: %s", r.URL.Path).Because("NO_ROUTE"))
	}
}

// allowed finds the methods of a path by trying each. A probe ends before
// anything is called.
func (h *handler) allowed(r *http.Request) []string {
	var allow []string
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodPatch, http.MethodPost, http.MethodPut} {
		c := &call{probe: true}
		p := withCall(r, c)
		p.Method = method
		h.mux.ServeHTTP(nil, p)
		if !c.routed {
			continue
		}
		allow = append(allow, method)
		if method == http.MethodGet && (!c.route.Streams()) {
			allow = append(allow, http.MethodHead)
		}
	}
	slices.Sort(allow)
	return allow
}
