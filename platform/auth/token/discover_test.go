package token_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/auth/token"
	"example.com/app/platform/errs"
)

// A web answers requests without a network, by URL.
type web struct {
	pages map[string]string // a document; "301 URL" redirects; "500" is an error
	asked []string
	sent  []http.Header
}

func (w *web) RoundTrip(r *http.Request) (*http.Response, error) {
	w.asked, w.sent = append(w.asked, r.URL.String()), append(w.sent, r.Header)
	answer := httptest.NewRecorder()
	page, ok := w.pages[r.URL.String()]
	code, to, _ := strings.Cut(page, " ")
	switch {
	case !ok:
		answer.WriteHeader(http.StatusNotFound)
	case code == "301":
		answer.Header().Set("Location", to)
		answer.WriteHeader(http.StatusMovedPermanently)
	case code == "500":
		answer.WriteHeader(http.StatusInternalServerError)
	case code == "huge":
		_, _ = io.WriteString(answer, to+strings.Repeat(" ", 1<<20))
	default:
		_, _ = io.WriteString(answer, page)
	}
	result := answer.Result()
	result.Request = r
	return result, nil
}

func metadata(issuer, keys string) string {
	return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q,"token_endpoint":"x"}`, issuer, keys)
}

func TestDiscoverFindsTheKeys(t *testing.T) {
	const list = `{"keys":[]}`
	for name, test := range map[string]struct {
		issuer string
		pages  map[string]string
	}{
		"OpenID Connect": {"https://a.example", map[string]string{
			"https://a.example/.well-known/openid-configuration": metadata("https://a.example", "https://a.example/jwks"),
			"https://a.example/jwks":                             list,
		}},
		"RFC 8414": {"https://a.example", map[string]string{
			"https://a.example/.well-known/oauth-authorization-server": metadata("https://a.example", "https://a.example/jwks"),
			"https://a.example/jwks":                                   list,
		}},
		"a path": {"https://a.example/realms/b", map[string]string{
			"https://a.example/realms/b/.well-known/openid-configuration": metadata("https://a.example/realms/b", "https://a.example/jwks"),
			"https://a.example/jwks": list,
		}},
		"a path, RFC 8414": {"https://a.example/realms/b", map[string]string{
			"https://a.example/.well-known/oauth-authorization-server/realms/b": metadata("https://a.example/realms/b", "https://a.example/jwks"),
			"https://a.example/jwks": list,
		}},
		"a slash at the end": {"https://a.example/", map[string]string{
			"https://a.example/.well-known/openid-configuration": metadata("https://a.example/", "https://a.example/jwks"),
			"https://a.example/jwks":                             list,
		}},
		"keys on another host": {"https://a.example", map[string]string{
			"https://a.example/.well-known/openid-configuration": metadata("https://a.example", "https://keys.example/jwks"),
			"https://keys.example/jwks":                          list,
		}},
		"inside": {"http://localhost:8080", map[string]string{
			"http://localhost:8080/.well-known/openid-configuration": metadata("http://localhost:8080", "http://localhost:8080/oauth2/jwks"),
			"http://localhost:8080/oauth2/jwks":                      list,
		}},
		"redirects on the host": {"https://a.example", map[string]string{
			"https://a.example/.well-known/openid-configuration": "301 /x",
			"https://a.example/x":                                metadata("https://a.example", "https://a.example/jwks"),
			"https://a.example/jwks":                             list,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := token.Discover(&http.Client{Transport: &web{pages: test.pages}}, test.issuer)(t.Context())
			require.NoError(t, err)
			require.Equal(t, list, string(got))
		})
	}
}

func TestDiscoverTrustsOnlyTheIssuersOwnDocuments(t *testing.T) {
	const (
		a    = "https://a.example"
		conf = a + "/.well-known/openid-configuration"
	)
	for name, test := range map[string]struct {
		page string
		last string // what must not be asked for, though it is named
	}{
		"another issuer":          {metadata("https://b.example", a+"/jwks"), a + "/jwks"},
		"a slash too many":        {metadata(a+"/", a+"/jwks"), a + "/jwks"},
		"no issuer":               {`{"jwks_uri":"https://a.example/jwks"}`, a + "/jwks"},
		"no keys":                 {`{"issuer":"https://a.example"}`, ""},
		"keys without TLS":        {metadata(a, "http://a.example/jwks"), "http://a.example/jwks"},
		"keys in a file":          {metadata(a, "file:///etc/passwd"), "file:///etc/passwd"},
		"keys in the document":    {metadata(a, "data:application/json,{}"), "data:application/json,{}"},
		"keys at a relative path": {metadata(a, "/jwks"), "/jwks"},
		"keys with a password":    {metadata(a, "https://u:p@a.example/jwks"), "https://u:p@a.example/jwks"},
		"an issuer twice":         {`{"issuer":"https://b.example","issuer":"https://a.example","jwks_uri":"https://a.example/jwks"}`, a + "/jwks"},
		"not JSON":                {"<html>", ""},
		"null":                    {"null", ""},
		"empty":                   {"", ""},
		"huge":                    {"huge " + metadata(a, a+"/jwks"), a + "/jwks"},
		"500":                     {"500", a + "/.well-known/oauth-authorization-server"},
		"a redirect elsewhere":    {"301 https://evil.example/x", "https://evil.example/x"},
		"a redirect without TLS":  {"301 http://a.example/x", "http://a.example/x"},
		"a redirect to a port":    {"301 https://a.example:8443/x", "https://a.example:8443/x"},
		"redirects for ever":      {"301 " + conf, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := &web{pages: map[string]string{conf: test.page, a + "/jwks": `{"keys":[]}`}}
			got, err := token.Discover(&http.Client{Transport: w}, a)(t.Context())
			require.Nil(t, got)
			require.Equal(t, errs.Unavailable, errs.Of(err), "%v", err)
			require.NotContains(t, w.asked, test.last)
			require.Less(t, len(w.asked), 6)
		})
	}
}

func TestDiscoverFollowsNoKeysToAnotherHostWithoutTLS(t *testing.T) {
	w := &web{pages: map[string]string{
		"http://localhost:8080/.well-known/openid-configuration": metadata("http://localhost:8080", "http://169.254.169.254/latest"),
	}}
	_, err := token.Discover(&http.Client{Transport: w}, "http://localhost:8080")(t.Context())
	require.Equal(t, errs.Unavailable, errs.Of(err))
	require.Len(t, w.asked, 1)
}

func TestDiscoverRefusesAnIssuerThatIsNone(t *testing.T) {
	for _, issuer := range []string{"", "a.example", "ftp://a.example", "https://", "https://a.example?x=1", "https://a.example#x", "https://u:p@a.example", "://"} {
		w := new(web)
		_, err := token.Discover(&http.Client{Transport: w}, issuer)(t.Context())
		require.Equal(t, errs.Invalid, errs.Of(err), "Discover of %q", issuer)
		require.Empty(t, w.asked)
	}
}

func TestGW12DiscoverSendsNoSecrets(t *testing.T) {
	w := &web{pages: map[string]string{
		"https://a.example/.well-known/openid-configuration": metadata("https://a.example", "https://a.example/jwks"),
		"https://a.example/jwks":                             `{"keys":[]}`,
	}}
	_, err := token.Discover(&http.Client{Transport: w}, "https://a.example")(t.Context())
	require.NoError(t, err)
	for _, h := range w.sent {
		require.Equal(t, http.Header{"Accept": {"application/json"}}, h)
	}
}

// silent never answers.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestDiscoverEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		_, err := token.Discover(&http.Client{Transport: silent{}}, "https://a.example")(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 3*time.Second, time.Since(began))
	})
}
