package http1

import (
	"bytes"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

var errHeadTooLarge = fmt.Errorf("%w: the header is too large", ErrMalformed)

func malformed(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }

// headEnd is where the first head in b ends, or -1.
func headEnd(b []byte) int {
	if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 {
		return i + 4
	}
	return -1
}

// checkLines refuses a line feed by itself in what has come so far: who ends
// lines with it would be waited for in vain.
func checkLines(b []byte) error {
	for i := bytes.IndexByte(b, '\n'); i >= 0; {
		if i == 0 || b[i-1] != '\r' {
			return malformed("a bare line feed")
		}
		next := bytes.IndexByte(b[i+1:], '\n')
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return nil
}

// How the body of an answer ends.
const (
	byLength = iota
	byChunks
	byClose
)

// parse reads a head, and finds out where the body will end.
func (r *Response) parse(head string, headRequest bool) error {
	*r = Response{Header: r.Header, conn: r.conn}
	clear(r.Header)
	line, fields, _ := strings.Cut(head, "\r\n")
	if err := r.parseStatus(line); err != nil {
		return err
	}
	if err := parseFields(strings.TrimSuffix(fields, "\r\n"), r.Header); err != nil {
		return err
	}
	if err := r.frame(headRequest); err != nil {
		return err
	}
	r.keep = r.keep && r.mode != byClose && !hasToken(r.Header["Connection"], "close")
	return nil
}

// parseStatus reads "HTTP/1.1 200 OK". Over HTTP/1.0 a connection is used once.
func (r *Response) parseStatus(line string) error {
	rest, ok := strings.CutPrefix(line, "HTTP/1.1 ")
	if r.keep = ok; !ok {
		if rest, ok = strings.CutPrefix(line, "HTTP/1.0 "); !ok {
			return malformed("no HTTP/1 status line")
		}
	}
	code, reason, _ := strings.Cut(rest, " ")
	status, ok := digits(code)
	if !ok || len(code) != 3 || status < 100 || !validValue(reason) {
		return malformed("no status")
	}
	r.Status = int(status)
	return nil
}

// parseFields adds the header lines of a text, each ending in CR LF, to h.
func parseFields(text string, h http.Header) error {
	values := make([]string, 0, strings.Count(text, "\r\n"))
	for text != "" {
		line, rest, ok := strings.Cut(text, "\r\n")
		colon := strings.IndexByte(line, ':')
		if !ok || colon <= 0 || !validName(line[:colon]) {
			return malformed("a header line")
		}
		value := strings.Trim(line[colon+1:], " \t")
		if !validValue(value) {
			return malformed("a header value")
		}
		name := textproto.CanonicalMIMEHeaderKey(line[:colon])
		if others := h[name]; others != nil {
			h[name] = append(others, value)
		} else {
			values = append(values, value)
			h[name] = values[len(values)-1 : len(values) : len(values)]
		}
		text = rest
	}
	return nil
}

// frame finds where the body ends (RFC 9112 6.3), and refuses what another
// reader could find otherwise.
func (r *Response) frame(headRequest bool) error {
	length, err := r.length()
	if err != nil {
		return err
	}
	encodings, chunked := r.Header["Transfer-Encoding"]
	switch {
	case !chunked:
	case len(encodings) != 1 || !strings.EqualFold(encodings[0], "chunked"):
		return malformed("a transfer encoding other than chunked")
	case length >= 0:
		return malformed("a length and a transfer encoding")
	case !r.keep:
		return malformed("a transfer encoding over HTTP/1.0")
	default: // also of an answer without a body: the names are in its head
		if err := r.announce(); err != nil {
			return err
		}
	}
	delete(r.Header, "Transfer-Encoding")
	r.Length = length
	switch {
	case headRequest, r.Status < 200, r.Status == http.StatusNoContent, r.Status == http.StatusNotModified:
		r.ended = true
	case chunked:
		r.mode = byChunks
	case length >= 0:
		r.left, r.ended = length, length == 0
	default:
		r.mode = byClose
	}
	return nil
}

// length is the Content-Length, which may be told several times if it is the
// same; below 0: it is not told.
func (r *Response) length() (int64, error) {
	told := r.Header["Content-Length"]
	if len(told) == 0 {
		return -1, nil
	}
	n, ok := digits(told[0])
	for _, other := range told[1:] {
		ok = ok && other == told[0]
	}
	if !ok {
		return 0, malformed("the content length")
	}
	r.Header["Content-Length"] = told[:1]
	return n, nil
}

// announce notes the trailers that the head names.
func (r *Response) announce() error {
	for name := range tokens(r.Header["Trailer"]) {
		name = textproto.CanonicalMIMEHeaderKey(name)
		if !validName(name) || name == "Transfer-Encoding" || name == "Trailer" || name == "Content-Length" {
			return malformed("a trailer that is none")
		}
		if r.Trailer == nil {
			r.Trailer = make(http.Header)
		}
		r.Trailer[name] = nil
	}
	delete(r.Header, "Trailer")
	return nil
}

// tokens are the elements of lists separated by commas.
func tokens(lists []string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, list := range lists {
			for token := range strings.SplitSeq(list, ",") {
				if token = strings.Trim(token, " \t"); token != "" && !yield(token) {
					return
				}
			}
		}
	}
}

func hasToken(lists []string, want string) bool {
	for token := range tokens(lists) {
		if strings.EqualFold(token, want) {
			return true
		}
	}
	return false
}

// digits reads a number of at most 18 digits and nothing else.
func digits(s string) (int64, bool) {
	if s == "" || len(s) > 18 || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// validName reports whether s is a token (RFC 9110 5.6.2).
func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '-' && strings.IndexByte("!#$%&'*+.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// validValue reports whether s has no control characters but tabs.
func validValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
