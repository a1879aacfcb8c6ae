package edge

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"example.com/app/platform/errs"
)

// What scripts of other origins may use, and see, once their origin may at all.
const (
	allowMethods  = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
	allowHeaders  = "Accept-Language, Authorization, Content-Type, Grpc-Timeout, Idempotency-Key, Last-Event-ID, Traceparent, X-Request-Id"
	exposeHeaders = "RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, X-Request-Id"
	allowSeconds  = "600"
)

// checkOrigin wants an origin as browsers write it (RFC 6454 §6.2), since it is
// compared to the letter.
func checkOrigin(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || s != u.Scheme+"://"+u.Host || s != strings.ToLower(s) ||
		u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80" || strings.Contains(s, "*") {
		return errs.Invalid.New("origin %q: want https://host, in lower case, with a port where it is not the usual one, and no slash at the end", s)
	}
	return nil
}

// origin is who may read the answer to r beside our own pages; empty: nobody.
func (e *Edge) origin(r *http.Request) string {
	origins := r.Header["Origin"]
	if len(origins) != 1 || !slices.Contains(e.origins, origins[0]) {
		return ""
	}
	return origins[0]
}

// preflight says whether a browser asks before it lets a script send a request
// (Fetch standard, CORS-preflight request).
func preflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// allow answers a preflight. The answer is the same for every path: whether it
// exists, and who may, is for the request itself.
func allow(a *answer) {
	a.finish() // which takes such headers off, as those of a backend
	h := a.Header()
	h.Set("Access-Control-Allow-Methods", allowMethods)
	h.Set("Access-Control-Allow-Headers", allowHeaders)
	h.Set("Access-Control-Max-Age", allowSeconds)
	a.WriteHeader(http.StatusNoContent)
}

// share lets origin's scripts read an answer with the header h. Credentials are
// never allowed: a cookie is for our own pages, and a script that has a token
// sends it itself.
func (e *Edge) share(h http.Header, origin string) {
	if len(e.origins) == 0 {
		return
	}
	h.Add("Vary", "Origin") // or a cache gives one origin's answer to another
	if origin == "" {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", exposeHeaders)
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
}
