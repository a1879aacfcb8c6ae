package transcode

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"

	"example.com/app/platform/errs"
)

// around is what happens to a request once its route is known: it is checked,
// its body is read, it gets its deadline.
func (h *handler) around(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, params map[string]string) {
		c := callOf(r.Context())
		c.endpoint = h.endpoints[routeOf(r)]
		if c.probe {
			c.routed = true
			return
		}
		if c.head && c.endpoint.streams() {
			h.notAllowed(w, r, []string{http.MethodGet})
			return
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
		if c.endpoint.streams() {
			h.stream(w, r, func(w http.ResponseWriter) { next(w, r, params) })
			return
		}
		next(w, r, params)
	}
}

// routeOf is the key of r's route in the table of endpoints.
func routeOf(r *http.Request) string {
	pattern, _ := runtime.HTTPPattern(r.Context())
	return r.Method + " " + pattern.String()
}

// admit refuses what the call would not read, and reads its body into c.
func (h *handler) admit(w http.ResponseWriter, r *http.Request, c *call) error {
	if err := checkQuery(r.URL.RawQuery, c.endpoint); err != nil {
		return err
	}
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	// All that the headers tell is refused before the body is touched, so
	// that a client that waits for 100 Continue does not send it in vain.
	if r.ContentLength > h.cfg.MaxBody {
		return tooLarge(h.cfg.MaxBody)
	}
	if r.ContentLength > 0 {
		if err := checkType(r.Header); err != nil {
			return err
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.cfg.MaxBody))
	if err != nil {
		if _, over := errors.AsType[*http.MaxBytesError](err); over {
			return tooLarge(h.cfg.MaxBody)
		}
		return errs.Invalid.New("read the body: %v", err).Because("BAD_BODY")
	}
	if len(body) == 0 {
		return nil
	}
	if err := checkType(r.Header); err != nil {
		return err
	}
	if c.endpoint != nil && c.endpoint.body == "" {
		return errs.Invalid.New("%s takes no body here", r.Method).Because("UNEXPECTED_BODY")
	}
	if !json.Valid(body) {
		return errs.Invalid.New("the body is not one JSON document: %v", json.Unmarshal(body, new(json.RawMessage))).Because("BAD_BODY")
	}
	c.body, r.Body, r.ContentLength = body, io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return nil
}

func tooLarge(limit int64) error {
	return &runtime.HTTPStatusError{
		HTTPStatus: http.StatusRequestEntityTooLarge,
		Err:        errs.Invalid.New("the body is larger than %d bytes", limit).Because("BODY_TOO_LARGE"),
	}
}

// checkType wants JSON. Nothing else is guessed: a form is what a browser sends
// to other people's servers, and a compressed body can grow.
func checkType(h http.Header) error {
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset := params["charset"]
	if err == nil && media == "application/json" && (charset == "" || strings.EqualFold(charset, "utf-8")) && h.Get("Content-Encoding") == "" {
		return nil
	}
	return &runtime.HTTPStatusError{
		HTTPStatus: http.StatusUnsupportedMediaType,
		Err:        errs.Invalid.New("the body must be application/json, in UTF-8, not compressed").Because("UNSUPPORTED_MEDIA_TYPE"),
	}
}

// checkQuery refuses parameters that the call would not read, by name.
func checkQuery(raw string, e *endpoint) error {
	if raw == "" {
		return nil
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return errs.Invalid.New("read the query: %v", err).Because("BAD_QUERY")
	}
	var unknown []string
	for key, vs := range values {
		if !utf8.ValidString(key) || slices.ContainsFunc(vs, func(v string) bool { return !utf8.ValidString(v) }) {
			return errs.Invalid.New("the query is not UTF-8").Because("BAD_QUERY")
		}
		if e != nil && !e.reads(key) {
			unknown = append(unknown, key)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	bad := errs.Invalid.New("unknown query parameter %q", unknown[0]).Because("UNKNOWN_PARAMETER")
	for _, key := range unknown[:min(len(unknown), maxViolations)] {
		bad = bad.Field(key, "unknown", "no such query parameter")
	}
	return bad
}

// maxViolations bounds the answer to a request full of mistakes.
const maxViolations = 20

// timeout is how long a call may take: 0 is for ever, which is for streams
// alone. The header is taken off, or the generated code would obey it again,
// without the limit.
func (h *handler) timeout(r *http.Request, c *call) (time.Duration, error) {
	asked := r.Header.Get("Grpc-Timeout")
	r.Header.Del("Grpc-Timeout")
	if asked == "" {
		if c.endpoint.streams() {
			return 0, nil
		}
		return h.cfg.Timeout, nil
	}
	d, err := parseTimeout(asked)
	if err != nil {
		return 0, err
	}
	if c.endpoint.streams() {
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
	const most = 1 << 63 / uint64(time.Hour) // hours that fit a Duration
	if unit == time.Hour {
		n = min(n, most-1)
	}
	return time.Duration(n) * unit, nil
}
