package auth

import (
	"slices"
	"strings"

	"google.golang.org/grpc/status"

	"example.com/app/platform/errs"
)

// What a challenge says is bounded, in bytes, so that any header can hold it.
const (
	maxDescription = 200
	maxScope       = 1000
)

// Challenge is the WWW-Authenticate header that goes with err, as RFC 6750 §3
// has it; empty: none does. A call without a token is only told the scheme
// (§3.1), one with a bad token "invalid_token", one whose header can't be read
// "invalid_request", and one whose token lets too little "insufficient_scope"
// with the scope that was missing. The error may come from anywhere: nothing in
// it can end the header or start another parameter. Realm names what is
// protected; it may be empty.
func Challenge(realm string, err error) string {
	var code string
	reason := Reason(err)
	switch kind := errs.Of(err); {
	case kind == errs.Unauthenticated && (reason == Missing || reason == Scheme):
	case kind == errs.Unauthenticated && reason == Repeated:
		code = "invalid_request"
	case kind == errs.Unauthenticated:
		code = "invalid_token"
	case kind == errs.Denied && (reason == ScopeMissing || reason == RoleMissing):
		code = "insufficient_scope"
	default:
		return ""
	}
	parts := []string{parameter("realm", realm)}
	if code != "" {
		parts = append(parts, parameter("error", code), parameter("error_description", description(err)))
	}
	if code == "insufficient_scope" {
		if scope := strings.Join(strings.Fields(info(err).GetMetadata()["scope"]), " "); len(scope) <= maxScope {
			parts = append(parts, parameter("scope", scope))
		}
	}
	parts = slices.DeleteFunc(parts, func(p string) bool { return p == "" })
	return strings.TrimRight("Bearer "+strings.Join(parts, ", "), " ")
}

// description is what the caller is told of err anyway.
func description(err error) string {
	s, _ := status.FromError(err)
	return s.Message()[:min(len(s.Message()), maxDescription)]
}

// parameter is name="value" with only those characters in the value that RFC
// 6750 §3 allows: printable ASCII without the quote and the backslash. Nothing
// needs an escape then, which not every client understands. Empty where nothing
// is left.
func parameter(name, value string) string {
	value = strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r < ' ' || r > '~' || r == '\\':
			return -1
		}
		return r
	}, value)
	if value == "" {
		return ""
	}
	return name + `="` + value + `"`
}
