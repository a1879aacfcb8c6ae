package oauth_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzAuthorizeNeverSendsPeopleElsewhere: whatever a link says, the browser stays
// here or goes to a redirect URI of a client, and gets no code without a login.
func FuzzAuthorizeNeverSendsPeopleElsewhere(f *testing.F) {
	f.Add(ask().Encode())
	f.Add(ask("redirect_uri", "https://evil.example.com").Encode())
	f.Add(ask("redirect_uri", callback+"\r\nX: y").Encode())
	f.Add("client_id=web&client_id=other&redirect_uri=" + url.QueryEscape(callback) + "&redirect_uri=//x")
	f.Add("client_id=native&redirect_uri=http://127.0.0.1:1/cb%23")
	f.Add(";&%zz=")
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, query string) {
		if len(query) > 8<<10 {
			return
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/oauth2/authorize", nil)
		require.NoError(t, err)
		r.URL.RawQuery = strings.Map(func(c rune) rune {
			if c <= ' ' || c == '#' || c > '~' {
				return -1
			}
			return c
		}, query)
		res, err := w.RoundTrip(r)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Less(t, res.StatusCode, 500)
		to := res.Header.Get("Location")
		if to == "" {
			return
		}
		require.True(t, strings.HasPrefix(to, callback+"?") || strings.HasPrefix(to, "http://127.0.0.1") || strings.HasPrefix(to, "com.example.app:/cb?") ||
			strings.HasPrefix(to, base+"/auth/callback?"), to)
		u, err := url.Parse(to)
		require.NoError(t, err)
		require.NotEmpty(t, u.Query().Get("error"))
		require.False(t, u.Query().Has("code"))
	})
}

// FuzzTokenRequestsAreAnswered: every form gets an answer of the protocol, and no
// token without a secret.
func FuzzTokenRequestsAreAnswered(f *testing.F) {
	f.Add("grant_type=client_credentials&client_id=web&client_secret=x", "")
	f.Add("grant_type=authorization_code&code=x&code_verifier=y&client_id=native", "")
	f.Add("grant_type=refresh_token&refresh_token=a.1.b&client_id=native", "")
	f.Add("grant_type=client_credentials", "Basic d2ViOng=")
	f.Add("%zz", "Basic %")
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, body, authorization string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/oauth2/token", strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		res, err := w.RoundTrip(r)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Contains(t, []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusTooManyRequests}, res.StatusCode)
		require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
	})
}

func BenchmarkTokens(b *testing.B) {
	w := newWorld(b)
	for b.Loop() {
		a := w.web("/oauth2/token", "grant_type", "client_credentials", "scope", "read")
		if a.status != http.StatusOK {
			b.Fatal(a.body)
		}
	}
}
