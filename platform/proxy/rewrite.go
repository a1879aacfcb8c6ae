package proxy

import (
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
)

// rewrite makes the request that goes to the service from the one that came.
// The carrier finds the service by the host of the URL. Hop-by-hop headers are
// gone already, so that none of them can name, and delete, what is set here.
func (p *Proxy) rewrite(pr *httputil.ProxyRequest) {
	route, _ := p.routes.match(pr.In.URL.Path)
	out := pr.Out
	out.URL = &url.URL{
		Scheme: "http", Host: route.Service,
		Path: backendPath(pr.In.URL.Path, route.cut()), RawQuery: out.URL.RawQuery,
	}
	dropForged(out.Header)
	pr.SetXForwarded()
	if cut := route.cut(); cut != "" {
		out.Header.Set("X-Forwarded-Prefix", cut)
	}
	if from := out.Header.Get("X-Forwarded-For"); from != "" {
		out.Header.Set("X-Real-Ip", from)
	}
	if !wantsWebsocket(out) {
		out.Header.Del("Connection")
		out.Header.Del("Upgrade")
	}
	keepFromRepeating(out)
	passTrailers(pr)
}

// dropForged deletes what only we, or a proxy like us, may tell a backend.
func dropForged(h http.Header) {
	for name := range h {
		if forged(name) {
			delete(h, name)
		}
	}
}

// forged reports whether a client has no business sending the header: where a
// request comes from, which certificate it came with, or that it means another
// method or path than it says. Names with underscores go as well, since many
// backends take X_Forwarded_For for X-Forwarded-For.
func forged(name string) bool {
	switch name {
	case "Forwarded", "X-Forwarded", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip",
		"Client-Cert", "Client-Cert-Chain", "X-Client-Cert",
		"X-Original-Url", "X-Original-Uri", "X-Rewrite-Url",
		"X-Http-Method", "X-Http-Method-Override", "X-Method-Override",
		"Proxy", "Http2-Settings":
		return true
	}
	return strings.Contains(name, "_") || strings.HasPrefix(name, "X-Forwarded-") ||
		strings.HasPrefix(name, "X-Ssl-") || strings.HasPrefix(name, "Ssl-Client-")
}

// wantsWebsocket reports whether a request asks to go on as a websocket. No
// other protocol is let through: one could carry requests past the routes.
func wantsWebsocket(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") && r.Method == http.MethodGet && r.Body == nil
}

// keepFromRepeating keeps http.Transport from sending a request again that is
// not harmless to repeat. It would do so on a broken connection for one that
// has no body and a header Idempotency-Key, and looks for that in its canonical
// spelling only; to a backend the spelling makes no difference.
func keepFromRepeating(r *http.Request) {
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if v, ok := r.Header[name]; ok {
			delete(r.Header, name)
			r.Header[strings.ToLower(name)] = v
		}
	}
}

// passTrailers forwards the trailers that the client announced. Their values
// are known at the end of the body; out has a copy of the header from before.
func passTrailers(pr *httputil.ProxyRequest) {
	dropForged(pr.Out.Trailer)
	if len(pr.Out.Trailer) > 0 && pr.Out.Body != nil {
		pr.Out.Body = &trailed{pr.Out.Body, pr.In, pr.Out}
	}
}

// A trailed body hands on its trailers when it ends.
type trailed struct {
	io.ReadCloser
	in, out *http.Request
}

func (t *trailed) Read(b []byte) (int, error) {
	n, err := t.ReadCloser.Read(b)
	if err == io.EOF {
		for name := range t.out.Trailer {
			t.out.Trailer[name] = t.in.Trailer[name]
		}
	}
	return n, err
}

// leaveFlushing keeps ReverseProxy from flushing; exchange does it. It would,
// for an unknown length and for event streams, and finds these by the canonical
// spelling of the header. Nothing else reads the length from here, and the
// header gets its spelling back when it is copied. It is a ModifyResponse.
func leaveFlushing(res *http.Response) error {
	if res.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	res.ContentLength = 0
	if v, ok := res.Header["Content-Type"]; ok {
		delete(res.Header, "Content-Type")
		res.Header["content-type"] = v
	}
	return nil
}
