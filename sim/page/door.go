package page

import (
	"net"
	"net/http"
	"strings"
)

// ServeHTTP answers those who called this machine by a name of its own and come
// from this page, or from no page at all.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", p.html.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if !loopback(r.Host) {
		refuse(w, http.StatusMisdirectedRequest, "open the page by a loopback address, as in http://127.0.0.1:7070")
		return
	}
	if size(r.Header) > p.cfg.Header {
		refuse(w, http.StatusRequestHeaderFieldsTooLarge, "the header is too large")
		return
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		if r.Method != http.MethodGet || r.URL.Path != "/" { // a link to the page may be anywhere
			refuse(w, http.StatusForbidden, "the request comes from another site")
			return
		}
	}
	if err := p.origin.Check(r); err != nil {
		refuse(w, http.StatusForbidden, "the request comes from another site")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, p.cfg.Body)
	p.mux.ServeHTTP(w, r)
}

// loopback says whether a Host header names this machine as only this machine
// can: a name from the DNS could be anybody's.
func loopback(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	ip := net.ParseIP(name)
	return strings.EqualFold(name, "localhost") || ip != nil && ip.IsLoopback()
}

func size(h http.Header) int {
	n := 0
	for name, values := range h {
		for _, v := range values {
			n += len(name) + len(v) + 4
		}
	}
	return n
}

func refuse(w http.ResponseWriter, status int, text string) { http.Error(w, text, status) }

func (p *Page) index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(p.html.text)
}
