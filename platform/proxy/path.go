package proxy

import (
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"example.com/app/platform/errs"
)

// maxParams is how many query parameters the standard library parses. A query
// with more would reach the backend empty, hiding what the client sent.
const maxParams = 10000

// checkURL refuses what two readers could read differently, so that the path
// that was matched and authorized is the path a backend sees. The error is of
// kind errs.Invalid.
func checkURL(u *url.URL) error {
	if hasEscape(u.EscapedPath(), "%2f", "%5c") {
		return errs.Invalid.New("the path has an encoded slash or backslash").Because("PATH_AMBIGUOUS")
	}
	if strings.Count(u.RawQuery, "&") >= maxParams {
		return errs.Invalid.New("the query has more than %d parameters", maxParams).Because("QUERY_TOO_LONG")
	}
	return checkPath(u.Path)
}

// checkPath refuses a decoded path that is not in canonical form, or would not
// be after a second decoding.
func checkPath(path string) error {
	ambiguous := func(what string) error {
		return errs.Invalid.New("the path has %s", what).Because("PATH_AMBIGUOUS")
	}
	switch {
	case !strings.HasPrefix(path, "/"):
		return ambiguous("no slash at its beginning")
	case !utf8.ValidString(path):
		return ambiguous("bytes that are not UTF-8")
	case strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }):
		return ambiguous("a backslash or a control character")
	case strings.Contains(path, "//"):
		return ambiguous("an empty segment")
	case hasEscape(path, "%2f", "%5c", "%2e", "%00", "%25"):
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

// hasEscape reports whether s has one of the percent-encoded bytes.
func hasEscape(s string, bytes ...string) bool {
	if strings.IndexByte(s, '%') < 0 {
		return false
	}
	s = strings.ToLower(s)
	return slices.ContainsFunc(bytes, func(b string) bool { return strings.Contains(s, b) })
}

// backendPath is what a backend sees of a path: what follows the prefix.
func backendPath(path, prefix string) string {
	if rest := path[len(prefix):]; rest != "" {
		return rest
	}
	return "/"
}
