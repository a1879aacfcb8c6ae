// Package canonical says which requests have one meaning only.
//
// A request passes several readers: the one that picks the route, the one that
// asks who may, the one that answers. Where two of them could read it in two
// ways, what was allowed is not what happens. So a path in any form but the
// canonical one is refused, and headers by which a client could pass for
// somebody else are dropped, here, for all of them.
package canonical

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"example.com/app/platform/errs"
)

// maxParams is how many query parameters the standard library parses. A query
// with more would reach the backend empty, hiding what the client sent.
const maxParams = 10000

// CheckURL refuses what two readers could read differently, so that the path
// that was matched and authorized is the path a backend sees: an encoded slash
// or backslash, a NUL or another control character, dot segments, empty
// segments, and bytes that are not UTF-8 (RFC 3986 §6.2.2). The error is of kind
// errs.Invalid, for the reason PATH_AMBIGUOUS or QUERY_TOO_LONG. It may be called
// from many goroutines.
func CheckURL(u *url.URL) error {
	if escaped(u.EscapedPath(), "%2f", "%5c", "%00") {
		return ambiguous("an encoded slash, backslash or NUL")
	}
	if strings.Count(u.RawQuery, "&") >= maxParams {
		return errs.Invalid.New("the query has more than %d parameters", maxParams).Because("QUERY_TOO_LONG")
	}
	return CheckPath(u.Path)
}

// CheckPath refuses a decoded path that is not in canonical form, or would not
// be after a second decoding. The error is of kind errs.Invalid, for the reason
// PATH_AMBIGUOUS.
func CheckPath(path string) error {
	switch {
	case !strings.HasPrefix(path, "/"):
		return ambiguous("no slash at its beginning")
	case !utf8.ValidString(path):
		return ambiguous("bytes that are not UTF-8")
	case strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }):
		return ambiguous("a backslash or a control character")
	case strings.Contains(path, "//"):
		return ambiguous("an empty segment")
	case escaped(path, "%2f", "%5c", "%2e", "%00", "%25"):
		return ambiguous("characters encoded twice")
	}
	for segment := range strings.SplitSeq(path, "/") {
		// Some servers cut parameters off a segment: "..;x" is ".." to them.
		if name, _, _ := strings.Cut(segment, ";"); name == "." || name == ".." {
			return ambiguous("a dot segment")
		}
	}
	return nil
}

func ambiguous(what string) error {
	return errs.Invalid.New("the path has %s", what).Because("PATH_AMBIGUOUS")
}

// escaped reports whether s has one of the percent-encoded bytes.
func escaped(s string, bytes ...string) bool {
	if strings.IndexByte(s, '%') < 0 {
		return false
	}
	s = strings.ToLower(s)
	return slices.ContainsFunc(bytes, func(b string) bool { return strings.Contains(s, b) })
}

// DropForged deletes what only we, or a proxy like us, may say of a request:
// where it comes from, which certificate it came with, or that it means another
// method or path than it says (RFC 7239, RFC 9440). Names with underscores go as
// well, since many backends take X_Forwarded_For for X-Forwarded-For. The names
// in h are in canonical spelling, as net/http reads them.
func DropForged(h http.Header) {
	for name := range h {
		if forged(name) {
			delete(h, name)
		}
	}
}

// forged reports whether a client has no business sending the header.
func forged(name string) bool {
	switch name {
	case "Forwarded", "X-Forwarded", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip",
		"Client-Cert", "Client-Cert-Chain", "X-Client-Cert",
		"X-Original-Url", "X-Original-Uri", "X-Original-Method", "X-Rewrite-Url",
		"X-Http-Method", "X-Http-Method-Override", "X-Method-Override",
		"Proxy", "Http2-Settings":
		return true
	}
	return strings.Contains(name, "_") || strings.HasPrefix(name, "X-Forwarded-") ||
		strings.HasPrefix(name, "X-Ssl-") || strings.HasPrefix(name, "Ssl-Client-")
}
