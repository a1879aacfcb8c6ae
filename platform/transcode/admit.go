package transcode

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"

	"example.com/app/platform/errs"
	"example.com/app/platform/transcode/route"
)

// admit refuses what the call would not read, and reads its body into c.
func (h *handler) admit(w http.ResponseWriter, r *http.Request, c *call) error {
	if err := checkQuery(r.URL.RawQuery, c.route); err != nil {
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
		if r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close") // or net/http waits for the rest before it answers
		}
		if _, over := errors.AsType[*http.MaxBytesError](err); over {
			return tooLarge(h.cfg.MaxBody)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return errs.Deadline.New("the body did not come in time").Because("BODY_TOO_SLOW").Status(http.StatusRequestTimeout)
		}
		// The text of the error may hold the addresses of the connection.
		return errs.Invalid.New("the body broke off, or its chunks are malformed").Because("BAD_BODY")
	}
	if len(body) == 0 {
		return nil
	}
	if err := checkType(r.Header); err != nil {
		return err
	}
	if c.route != nil && c.route.Body == "" {
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
		Err: errs.Invalid.New("the body must be JSON in UTF-8, not compressed, and say so: send the header Content-Type: application/json").
			Because("UNSUPPORTED_MEDIA_TYPE"),
	}
}

// checkQuery refuses parameters that the call would not read, by name.
func checkQuery(raw string, from *route.Route) error {
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
		if !from.Reads(key) {
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
