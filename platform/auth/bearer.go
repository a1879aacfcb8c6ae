package auth

import "strings"

// MaxToken is how long a token may be, in bytes: the 8 KiB that common HTTP
// servers allow a header field.
const MaxToken = 8 << 10

// Bearer returns the token of a call: that of its one Authorization header
// (RFC 6750 §2.1), whose values it is given, over HTTP and gRPC alike. A token
// in the query or in a form is never looked at (RFC 9700 §4.3.2).
//
// The error is of kind Unauthenticated, for the reason Missing, Repeated,
// Scheme, Oversize or Malformed.
func Bearer(values []string) (string, error) {
	switch {
	case len(values) == 0:
		return "", Refuse(Missing, "no access token: send Authorization: Bearer and the token")
	case len(values) > 1:
		return "", Refuse(Repeated, "more than one Authorization header")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", Refuse(Scheme, "the scheme of the Authorization header is not Bearer")
	}
	token = strings.TrimLeft(token, " ") // RFC 6750 §2.1: one space or more
	switch {
	case len(token) > MaxToken:
		return "", Refuse(Oversize, "the access token is longer than %d bytes", MaxToken)
	case !token68(token):
		return "", Refuse(Malformed, "the access token is empty or has characters in it that no token has")
	}
	return token, nil
}

// token68 reports whether s is a b64token of RFC 6750 §2.1: letters, digits and
// -._~+/, at least one, then any number of =.
func token68(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-._~+/", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}
