package app

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"example.com/app/platform/auth"
	"example.com/app/platform/errs"
	"example.com/app/platform/telemetry"
)

// ErrAdminOpen tells that the admin address can be reached from other machines
// and nothing was said of who may ask there.
var ErrAdminOpen = errors.New("an admin address that is not loopback needs a token")

// A door stands before the admin port. It knows two dangers: others on the
// network, whom the token keeps out, and web pages in a browser on this
// machine, which reach loopback as well as anybody. A page can make the
// browser ask, by a host name that it points here (DNS rebinding) or by a plain
// link, but it cannot choose the Host header or lie about its origin.
type door struct {
	token    telemetry.Secret // empty: nobody needs one
	loopback bool             // of a real network
	origin   http.CrossOriginProtection
	next     http.Handler
}

// doorOf is the door of a listener. The address that it has counts, not the
// one that was asked for, so that a name which resolves to another address
// opens nothing. A memory network has no outside.
func doorOf(addr net.Addr, cfg Config) (*door, error) {
	d := &door{token: cfg.AdminToken}
	tcp, real := addr.(*net.TCPAddr)
	if !real {
		return d, nil
	}
	d.loopback = tcp.IP.IsLoopback()
	if host, _, err := net.SplitHostPort(cfg.Admin); err != nil || !isLoopback(host) {
		d.loopback = false // a name may be another address tomorrow
	}
	if d.token == "" && !d.loopback {
		return nil, errs.Invalid.New("address %q: %w", cfg.Admin, ErrAdminOpen)
	}
	return d, nil
}

// isLoopback tells of a name or an address whether it is that of the machine
// itself, whatever DNS says.
func isLoopback(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761 §6.3
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Unmap().IsLoopback()
}

// ServeHTTP lets through who may ask. The probes of an orchestrator carry no
// token and learn one word.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'") // the index of the profiles has a style
	if d.loopback && !isLoopback(hostAlone(r.Host)) {
		plain(w, http.StatusForbidden, "this address is asked for by the names of loopback alone, as in localhost\n")
		return
	}
	if d.origin.Check(r) != nil || embedded(r) {
		plain(w, http.StatusForbidden, "pages of other sites may not ask here\n")
		return
	}
	token, _ := auth.Bearer(r.Header.Values("Authorization"))
	switch {
	case d.token == "" || d.token.Is(token):
		d.next.ServeHTTP(w, r)
	case r.URL.Path == "/livez" || r.URL.Path == "/readyz" || r.URL.Path == "/healthz":
		brief := &brief{ResponseWriter: w}
		d.next.ServeHTTP(brief, r)
		brief.end()
	default:
		h.Set("WWW-Authenticate", `Bearer realm="admin"`)
		plain(w, http.StatusUnauthorized, "the admin token is needed: Authorization: Bearer TOKEN\n")
	}
}

// hostAlone is a Host header without its port.
func hostAlone(header string) string {
	if host, _, err := net.SplitHostPort(header); err == nil {
		return host
	}
	return header
}

// embedded tells of a browser's request that a page of another site began
// without its user: an image, a script, a fetch. CrossOriginProtection lets
// those pass that change nothing, but a profile costs this process time.
// Browsers add the headers themselves (Fetch Metadata), pages cannot.
func embedded(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate"
}

// brief keeps the status of a probe's answer and none of its reasons, which
// name hosts and what went wrong with them.
type brief struct {
	http.ResponseWriter
	code int
}

func (b *brief) WriteHeader(code int) { b.code = code }

func (b *brief) Write(text []byte) (int, error) { return len(text), nil }

// end writes the one word.
func (b *brief) end() {
	if b.code == http.StatusOK {
		plain(b.ResponseWriter, b.code, "ok\n")
		return
	}
	plain(b.ResponseWriter, b.code, "not ok\n")
}
