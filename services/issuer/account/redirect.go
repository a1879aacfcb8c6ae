package account

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"example.com/app/platform/errs"
)

// checkRedirect refuses what a browser must not be sent to: no fragment (RFC
// 6749 section 3.1.2), no scheme that runs code.
func checkRedirect(uri string) error {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" || u.Fragment != "" || strings.HasSuffix(uri, "#") || u.User != nil || strings.ContainsAny(uri, " ;,'\"<>\\") {
		return errs.Invalid.New("redirect URI %q: want an absolute URI without a fragment", uri)
	}
	switch u.Scheme {
	case "http", "https":
		if u.Host == "" {
			return errs.Invalid.New("redirect URI %q has no host", uri)
		}
		return nil
	}
	if !strings.Contains(u.Scheme, ".") { // RFC 8252 section 7.1; leaves out javascript: and data: too
		return errs.Invalid.New("redirect URI %q: want a scheme with a dot in it, as in com.example.app:/callback", uri)
	}
	return nil
}

// Redirect says whether the client may have people sent to a URI: it is one of
// its own to the letter (RFC 9700 section 2.1), but for the port of a loopback
// address, which programs pick when they start (RFC 8252 section 7.3).
func (c *Client) Redirect(uri string) bool { return registered(c.Redirects, uri) }

// LogoutRedirect says the same for the end of a logout.
func (c *Client) LogoutRedirect(uri string) bool { return registered(c.LogoutRedirects, uri) }

func registered(list []string, uri string) bool {
	if checkRedirect(uri) != nil {
		return false
	}
	return slices.Contains(list, uri) || slices.ContainsFunc(list, func(own string) bool {
		a, ok := withoutPort(own)
		b, other := withoutPort(uri)
		return ok && other && a == b
	})
}

// withoutPort cuts the port out of a URI of a loopback address.
func withoutPort(uri string) (string, bool) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "http" {
		return "", false
	}
	ip := net.ParseIP(u.Hostname())
	if ip == nil || !ip.IsLoopback() {
		return "", false
	}
	u.Host = ip.String()
	return u.String(), true
}
