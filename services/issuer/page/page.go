// Package page is the pages that an issuer shows to people. They need no script,
// load nothing from elsewhere, and may not be framed.
package page

import (
	"bytes"
	_ "embed" // the template and the style sheet
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
)

//go:embed page.html
var text string

//go:embed style.css
var style []byte

// A Page is what is shown. Which fields count depends on the name.
type Page struct {
	Name     string // login, consent, code, device, logout, message
	Title    string
	Mark     string // hidden field that binds a form to the browser
	Next     string // where the flow goes on
	Sends    string // URI that a form of the page may lead to in the end; empty: none but the issuer
	Problem  string // what went wrong; empty: nothing
	Text     string
	Client   string // who asks
	Site     string // where the person will be sent
	User     string // who is logged in
	Code     string // of a device
	Redirect string // after a logout
	State    string
	Scopes   []Scope
}

// A Scope is a permission, with words for people where there are any.
type Scope struct{ Name, Text string }

// Pages shows pages. Its methods may be called from many goroutines.
type Pages struct{ template *template.Template }

// New reads the templates.
func New() (*Pages, error) {
	t, err := template.New("page").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("read the issuer's pages: %w", err)
	}
	return &Pages{t}, nil
}

// Scopes finds words for scopes.
func Scopes(names []string) []Scope {
	list := make([]Scope, len(names))
	for i, name := range names {
		list[i] = Scope{name, say(name)}
	}
	return list
}

func say(scope string) string {
	switch scope {
	case "openid":
		return "know that it is you"
	case "profile":
		return "see your name"
	case "offline_access":
		return "keep its access while you are away"
	}
	object, verb, ok := strings.Cut(scope, ".")
	switch {
	case ok && verb == "read":
		return "see " + object
	case ok && verb == "write":
		return "change " + object
	}
	return "use " + scope
}

// Show writes a page.
func (p *Pages) Show(w http.ResponseWriter, status int, shown Page) {
	var b bytes.Buffer
	if err := p.template.Execute(&b, shown); err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'"+source(shown.Sends)+"; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Cache-Control", "no-store")
	// The Origin header of a form is "null" under no-referrer, and forms are
	// known by it.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// source names where a URI leads, in a policy (CSP level 3 section 2.3.1).
func source(uri string) string {
	u, err := url.Parse(uri)
	switch {
	case uri == "" || err != nil || strings.ContainsAny(u.Host+u.Scheme, " ;,'\"\r\n"):
		return ""
	case u.Host == "" || strings.Contains(u.Host, "["): // policies can't name IPv6 addresses
		return " " + u.Scheme + ":"
	}
	return " " + u.Scheme + "://" + u.Host
}

// Style serves the style sheet.
func (*Pages) Style(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/css; charset=utf-8")
	h.Set("Cache-Control", "public, max-age=3600")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(style)
}
