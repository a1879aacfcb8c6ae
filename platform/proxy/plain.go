package proxy

import (
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxPlainBody is the longest body that is read before an instance is chosen:
// long enough for a form, short enough to wait for.
const maxPlainBody = 16 << 10

// plain reports whether a request is one text that can be sent before the
// answer is read, and has nothing in it that asks for a second thought. Others
// go by way of ReverseProxy and http.Transport.
func plain(r *http.Request) bool {
	return r.ContentLength >= 0 && r.ContentLength <= maxPlainBody &&
		len(r.Trailer) == 0 && len(r.TransferEncoding) == 0 &&
		r.Header["Upgrade"] == nil && r.Header["Expect"] == nil &&
		plainHost(r.Host) && plainQuery(r.URL.RawQuery)
}

// plainHost reports whether a host is a name or an address with a port.
func plainHost(host string) bool {
	for i := range len(host) {
		c := host[i]
		if letter := c|0x20 >= 'a' && c|0x20 <= 'z'; !letter && (c < '0' || c > '9') && strings.IndexByte("-._:[]", c) < 0 {
			return false
		}
	}
	return host != ""
}

// plainQuery reports whether all readers take a query for the same. ReverseProxy
// mends those with ";" and with broken escapes.
func plainQuery(q string) bool {
	for i := range len(q) {
		switch c := q[i]; {
		case c <= ' ', c >= 0x7f, c == ';', c == '#':
			return false
		case c == '%' && (i+2 >= len(q) || !isHex(q[i+1]) || !isHex(q[i+2])):
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

// appendHead writes the head of the request that goes to the service from the
// one that came. It is what rewrite and http.Transport make of it together.
func appendHead(b []byte, r *http.Request, route Route) []byte {
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = appendTarget(b, r.URL, route)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, r.Host...)
	b = append(b, "\r\n"...)
	var room [32]string
	names := room[:0]
	for name := range r.Header {
		if !endsHere(name) && !forged(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	hop := named(r.Header["Connection"])
	for _, name := range names {
		if slices.Contains(hop, name) {
			continue
		}
		for _, value := range r.Header[name] {
			b = appendField(b, name, value)
		}
	}
	if hasTrailersToken(r.Header["Te"]) {
		b = append(b, "Te: trailers\r\n"...)
	}
	b = appendOrigin(b, r, route)
	if r.ContentLength > 0 || r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, r.ContentLength, 10)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// appendTarget writes the path behind the prefix, and the query.
func appendTarget(b []byte, u *url.URL, route Route) []byte {
	path := backendPath(u.Path, route.cut())
	for i := range len(path) {
		c := path[i]
		if letter := c|0x20 >= 'a' && c|0x20 <= 'z'; !letter && (c < '0' || c > '9') && strings.IndexByte("-_.~$&+,/:;=@", c) < 0 {
			path = (&url.URL{Path: path}).EscapedPath()
			break
		}
	}
	b = append(b, path...)
	if u.RawQuery != "" {
		b = append(b, '?')
		b = append(b, u.RawQuery...)
	}
	return b
}

// appendOrigin writes where the request comes from.
func appendOrigin(b []byte, r *http.Request, route Route) []byte {
	if from, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		b = appendField(b, "X-Forwarded-For", from)
		b = appendField(b, "X-Real-Ip", from)
	}
	b = appendField(b, "X-Forwarded-Host", r.Host)
	if cut := route.cut(); cut != "" {
		b = appendField(b, "X-Forwarded-Prefix", cut)
	}
	if r.TLS != nil {
		return append(b, "X-Forwarded-Proto: https\r\n"...)
	}
	return append(b, "X-Forwarded-Proto: http\r\n"...)
}

// appendField writes a header line. A value that would not stay one line, which
// net/http's server lets nobody send, loses what would break it.
func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	at := len(b)
	b = append(b, value...)
	for i, c := range b[at:] {
		if c == '\r' || c == '\n' || c == 0 {
			b[at+i] = ' '
		}
	}
	return append(b, "\r\n"...)
}

// endsHere reports whether a header is for the next hop alone (RFC 9110 7.6.1),
// or is written anew.
func endsHere(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Host", "Content-Length":
		return true
	}
	return false
}

// named are the headers that Connection makes hop-by-hop.
func named(connection []string) []string {
	var names []string
	for _, list := range connection {
		for name := range strings.SplitSeq(list, ",") {
			if name = textproto.TrimString(name); name != "" && !strings.EqualFold(name, "close") && !strings.EqualFold(name, "keep-alive") {
				names = append(names, textproto.CanonicalMIMEHeaderKey(name))
			}
		}
	}
	return names
}

func hasTrailersToken(te []string) bool {
	for _, list := range te {
		for token := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(textproto.TrimString(token), "trailers") {
				return true
			}
		}
	}
	return false
}
