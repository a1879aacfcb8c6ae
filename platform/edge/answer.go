package edge

import (
	"net"
	"net/http"
	"strings"
)

// An answer gets its headers when its status is known, since a backend that
// sets one of them itself has its reasons.
type answer struct {
	http.ResponseWriter
	edge   *Edge
	origin string // may read the answer; empty: none but our own
	secure bool   // it travels over TLS
	done   bool
}

// foreign says whether a backend has no business sending the header. Its
// version is a gift to attackers, and who may read its answers is said here.
func foreign(name string) bool {
	switch name {
	case "Server", "X-Powered-By", "X-Aspnet-Version", "X-Aspnetmvc-Version":
		return true
	}
	return strings.HasPrefix(name, "Access-Control-")
}

// finish sets what the answer lacks.
func (a *answer) finish() {
	if a.done {
		return
	}
	a.done = true
	h := a.Header()
	for name := range h {
		if foreign(name) {
			delete(h, name)
		}
	}
	for _, d := range [...][2]string{
		{"Referrer-Policy", "same-origin"}, // with less, a browser says that our own forms come from "null"
		{"Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"},
		{"Cross-Origin-Opener-Policy", "same-origin"},
		{"Cross-Origin-Resource-Policy", "same-origin"},
		{"Content-Security-Policy", a.edge.cfg.Policy},
	} {
		if len(h[d[0]]) == 0 {
			h[d[0]] = []string{d[1]}
		}
	}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	delete(h, "Strict-Transport-Security")
	if a.secure {
		h["Strict-Transport-Security"] = []string{"max-age=31536000"} // RFC 6797 §7.2: never without TLS
	}
	a.edge.share(h, a.origin)
}

// WriteHeader sends the status. An informational one (RFC 9110 §15.2) is not
// yet the answer.
func (a *answer) WriteHeader(code int) {
	if code >= 200 || code == http.StatusSwitchingProtocols {
		a.finish()
	}
	a.ResponseWriter.WriteHeader(code)
}

// Write sends a part of the body.
func (a *answer) Write(b []byte) (int, error) {
	a.finish()
	return a.ResponseWriter.Write(b)
}

// FlushError sends what was written. It is found by http.ResponseController.
func (a *answer) FlushError() error {
	a.finish()
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// Flush is FlushError for those who ask for an http.Flusher.
func (a *answer) Flush() { _ = a.FlushError() }

// Unwrap lets http.ResponseController reach hijacking and deadlines.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// withHost is an address with another host and the same port.
func withHost(addr, host string) string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		port = "0"
	}
	return net.JoinHostPort(host, port)
}
