package transcode

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"

	"example.com/app/platform/errs"
)

// around is what happens to a request once its route is known: it is checked,
// its body is read, it gets its deadline.
func (h *handler) around(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, params map[string]string) {
		c := callOf(r.Context())
		c.route = h.routes[patternOf(r)]
		if c.probe {
			c.routed = true
			return
		}
		if c.head && c.route.Streams() {
			NotAllowed(w, r, http.MethodGet)
			return
		}
		if h.cfg.Admit != nil {
			ctx, err := h.letIn(r, c)
			if err != nil {
				WriteError(w, r, err)
				return
			}
			r = r.WithContext(ctx)
		}
		if err := h.admit(w, r, c); err != nil {
			WriteError(w, r, err)
			return
		}
		timeout, err := h.timeout(r, c)
		if err != nil {
			WriteError(w, r, err)
			return
		}
		if timeout > 0 {
			ctx, cancel := context.WithTimeout(r.Context(), timeout)
			defer cancel()
			r = r.WithContext(ctx)
		}
		if c.route.Streams() {
			h.stream(w, r, func(w http.ResponseWriter) { next(w, r, params) })
			return
		}
		next(w, r, params)
	}
}

// letIn asks whether the request may call the method that it matched.
func (h *handler) letIn(r *http.Request, c *call) (context.Context, error) {
	if c.route == nil {
		return nil, errs.Denied.New("no proto says who may do this").Because("RULE_MISSING")
	}
	return h.cfg.Admit(r, c.route.Method)
}

// patternOf is the key of r's route in the table of routes.
func patternOf(r *http.Request) string {
	pattern, _ := runtime.HTTPPattern(r.Context())
	return r.Method + " " + pattern.String()
}

// timeout is how long a call may take: 0 is for ever, which is for streams
// alone. The header is taken off, or the generated code would obey it again,
// without the limit.
func (h *handler) timeout(r *http.Request, c *call) (time.Duration, error) {
	asked := r.Header.Get("Grpc-Timeout")
	r.Header.Del("Grpc-Timeout")
	if asked == "" {
		if c.route.Streams() {
			return 0, nil
		}
		return h.cfg.Timeout, nil
	}
	d, err := parseTimeout(asked)
	if err != nil {
		return 0, err
	}
	if c.route.Streams() {
		return d, nil
	}
	return min(d, h.cfg.MaxTimeout), nil
}

// parseTimeout reads the header as gRPC defines it: at most 8 digits and a unit.
func parseTimeout(s string) (time.Duration, error) {
	bad := errs.Invalid.New("bad Grpc-Timeout: %q", s).Because("BAD_TIMEOUT")
	if len(s) < 2 || len(s) > 9 {
		return 0, bad
	}
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 32)
	if err != nil || n == 0 {
		return 0, bad
	}
	units := map[byte]time.Duration{
		'H': time.Hour, 'M': time.Minute, 'S': time.Second,
		'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
	}
	unit, ok := units[s[len(s)-1]]
	if !ok {
		return 0, bad
	}
	if unit == time.Hour {
		n = min(n, math.MaxInt64/uint64(time.Hour)) // as many as fit a Duration
	}
	return time.Duration(n) * unit, nil
}
