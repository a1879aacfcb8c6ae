package oauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"example.com/app/platform/errs"
)

// The error codes of RFC 6749 sections 4.1.2.1 and 5.2, OpenID Connect Core
// section 3.1.2.6, RFC 8628 section 3.5, RFC 8707 section 2.
const (
	accessDenied            = "access_denied"
	authorizationPending    = "authorization_pending"
	consentRequired         = "consent_required"
	expiredToken            = "expired_token"
	invalidClient           = "invalid_client"
	invalidGrant            = "invalid_grant"
	invalidRequest          = "invalid_request"
	invalidScope            = "invalid_scope"
	invalidTarget           = "invalid_target"
	invalidToken            = "invalid_token" // RFC 6750 section 3.1
	loginRequired           = "login_required"
	requestNotSupported     = "request_not_supported"
	requestURINotSupported  = "request_uri_not_supported"
	serverError             = "server_error"
	slowDown                = "slow_down"
	temporarilyUnavailable  = "temporarily_unavailable"
	unauthorizedClient      = "unauthorized_client" //nolint:misspell // the RFC's spelling
	unsupportedGrantType    = "unsupported_grant_type"
	unsupportedResponseType = "unsupported_response_type"
)

// A refusal is an error as the protocol says it.
type refusal struct {
	Code   string `json:"error"`
	Text   string `json:"error_description,omitempty"` // for developers
	status int
	basic  bool          // the client used HTTP Basic, and is asked to again
	wait   time.Duration // until it may be tried again; 0: it may not
}

// Error is the code and what was wrong.
func (r *refusal) Error() string { return r.Code + ": " + r.Text }

// refuse makes a refusal with status 400.
func refuse(code, format string, args ...any) *refusal {
	return &refusal{Code: code, Text: fmt.Sprintf(format, args...), status: http.StatusBadRequest}
}

// tooMany is the answer to who asks too often.
func tooMany(wait time.Duration) *refusal {
	return &refusal{Code: temporarilyUnavailable, Text: "too many requests", status: http.StatusTooManyRequests, wait: wait}
}

// asRefusal says an error in the protocol's words. What went wrong inside is
// logged and told to nobody.
func (s *Server) asRefusal(err error) *refusal {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	s.cfg.Log.Warn("a request failed", slog.Any("error", err))
	if kind := errs.Of(err); kind == errs.Exhausted || kind == errs.Unavailable {
		return &refusal{Code: temporarilyUnavailable, Text: "try again later", status: http.StatusServiceUnavailable, wait: 5 * time.Second}
	}
	return &refusal{Code: serverError, Text: "the server could not answer", status: http.StatusInternalServerError}
}

// sayRefusal answers with an error in JSON (RFC 6749 section 5.2).
func (s *Server) sayRefusal(w http.ResponseWriter, err error) {
	r := s.asRefusal(err)
	s.refusals.WithLabelValues(r.Code).Inc()
	if r.basic {
		w.Header().Set("WWW-Authenticate", `Basic realm="issuer", charset="UTF-8"`)
	}
	retryAfter(w, r.wait)
	sayJSON(w, r.status, r)
}

func retryAfter(w http.ResponseWriter, wait time.Duration) {
	if wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
}

// sayJSON answers in JSON that nobody keeps (RFC 6749 section 5.1).
func sayJSON(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(data)
}
