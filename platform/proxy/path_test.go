package proxy

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
)

// forward is the path and query that a backend of /shop is asked for.
func forward(t *testing.T, target string) (string, error) {
	t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return "", err
	}
	if err := checkURL(u); err != nil {
		return "", err
	}
	p := &Proxy{routes: table{{Prefix: "/shop", Service: "shop"}}}
	in := &http.Request{Method: "GET", URL: u, Header: http.Header{}}
	pr := &httputil.ProxyRequest{In: in, Out: in.Clone(t.Context())}
	p.rewrite(pr)
	return pr.Out.URL.RequestURI(), nil
}

func TestGW5PathsAreForwardedInOneForm(t *testing.T) {
	for target, want := range map[string]string{
		"/shop":                  "/",
		"/shop/":                 "/",
		"/shop/a/b/":             "/a/b/",
		"/shop?x=1&y=%20":        "/?x=1&y=%20",
		"/%73hop/%61":            "/a",
		"/shop/a%20b":            "/a%20b",
		"/shop/100%25":           "/100%25",
		"/shop/%C3%A4":           "/%C3%A4",
		"/shop/ä":                "/%C3%A4",
		"/shop/a.b/..c/...":      "/a.b/..c/...",
		"/shop/file%2etxt":       "/file.txt",
		"/shop/a%3Fb":            "/a%3Fb",
		"/shop/a;b=c":            "/a;b=c",
		"http://evil/shop/x":     "/x",
		"http://evil/shop/x?a=b": "/x?a=b",
	} {
		got, err := forward(t, target)
		require.NoError(t, err, target)
		require.Equal(t, want, got, target)
	}
}

func TestGW5AmbiguousPathsAreRefused(t *testing.T) {
	for _, target := range []string{
		"/shop/a%2fb", "/shop/a%2Fb", "/shop%2fa", "/shop/a%5cb", "/shop/a\\b", "/shop/a%00b", "/shop/a%0d%0aX: y",
		"/shop/../admin", "/shop/..", "/shop/.", "/shop/./a", "/shop/%2e%2e/admin", "/shop/.%2e/admin", "/shop/%2E",
		"/shop/..;/admin", "/shop/..;x=y/admin", "/shop/.;/a", "/shop/..%3b/admin",
		"/shop//a", "/shop//", "/shop//evil.example/", "//shop",
		"/shop/%252e%252e/a", "/shop/a%252fb", "/shop/a%255cb", "/shop/a%2500", "/shop/a%25252e",
		"/shop/%c0%ae%c0%ae/a", "/shop/a%ff", "/shop/a%7f", "*", "/shop/a%",
	} {
		got, err := forward(t, target)
		require.Error(t, err, "%s was forwarded as %s", target, got)
	}
}

func TestGW7AQueryIsForwardedWholeOrNotAtAll(t *testing.T) {
	query := "a=1" + strings.Repeat("&x=1", 9998) + "&admin=0"
	got, err := forward(t, "/shop?"+query)
	require.NoError(t, err)
	require.Equal(t, "/?"+query, got)
	_, err = forward(t, "/shop?"+query+"&one=more")
	require.Equal(t, errs.Invalid, errs.Of(err))
}

func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"/shop/a", "/shop/%2e%2e/x", "/shop/%252e", "/shop/a;b", "/shop/..;/x", "//x", "/shop/%c0%ae", "/shop/ä?%zz;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		got, err := forward(t, target)
		u, uerr := url.ParseRequestURI(target)
		if err != nil || uerr != nil || !strings.HasPrefix(u.Path, "/shop") {
			return
		}
		if _, ok := (table{{Prefix: "/shop", Service: "shop"}}).match(u.Path); !ok {
			return
		}
		path, _, _ := strings.Cut(got, "?")
		for range 3 { // however often a backend decodes
			require.True(t, strings.HasPrefix(path, "/"), path)
			require.NotContains(t, path, "\\")
			require.NotContains(t, path, "\x00")
			require.NotContains(t, path, "//")
			for segment := range strings.SplitSeq(path, "/") {
				require.NotContains(t, []string{".", ".."}, segment, "%q", target)
			}
			if path, err = url.PathUnescape(path); err != nil {
				return
			}
		}
	})
}
