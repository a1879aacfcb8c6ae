package issuer_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"example.com/app/platform/app"
	"example.com/app/platform/auth"
	"example.com/app/platform/auth/token"
	"example.com/app/services/issuer"
	"example.com/app/services/issuer/account"
)

const url = "http://localhost:8080"

// asking has a client of net/http ask a handler in this process.
type asking struct{ http.Handler }

func (a asking) RoundTrip(r *http.Request) (*http.Response, error) {
	in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), r.Body)
	in.Header = r.Header.Clone()
	out := httptest.NewRecorder()
	a.ServeHTTP(out, in)
	return out.Result(), nil
}

// TestServicesTakeTheTokensOfTheRole has what every service checks tokens with
// find the keys of the issuer, before and after they changed, in virtual time.
func TestServicesTakeTheTokensOfTheRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service, err := issuer.New(&app.Env{
			Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
			Issuer: app.Issuer{URL: url, PublicURL: url, Audience: "app", Clients: []app.Client{{ID: "load", Secret: "s", Scopes: []string{"greetings.read"}}}},
		})
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		go func() { ended <- service.(app.Runner).Run(ctx) }()
		over := &http.Client{Transport: asking{service.(http.Handler)}}
		set := token.NewKeySet(token.KeySetConfig{Fetch: token.Discover(over, url)})
		go func() { ended <- set.Run(ctx) }()
		verifier, err := token.New(token.Config{Issuer: url, Audience: "app", Keys: set})
		require.NoError(t, err)

		login := clientcredentials.Config{ClientID: "load", ClientSecret: "s", TokenURL: url + "/oauth2/token"}
		for range 4 { // a day each, and so a key
			got, err := login.Token(context.WithValue(t.Context(), oauth2.HTTPClient, over))
			require.NoError(t, err)
			who, err := verifier.Verify(t.Context(), got.AccessToken)
			require.NoError(t, err)
			require.Equal(t, "load", who.Subject)
			require.Equal(t, []string{"greetings.read"}, who.Scopes)
			time.Sleep(25 * time.Hour)
		}
		stop()
		require.NoError(t, <-ended)
		require.NoError(t, <-ended)
	})
}

// TestARevokedTokenIsInactiveAtOnceAndGoodAtServicesUntilItExpires shows what
// RFC 7009 section 3 leaves open for self-contained tokens: the issuer knows at
// once, a service when the five minutes are over and the clocks may differ no
// more.
func TestARevokedTokenIsInactiveAtOnceAndGoodAtServicesUntilItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service, err := issuer.New(&app.Env{
			Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
			Issuer: app.Issuer{URL: url, PublicURL: url, Audience: "app", Clients: []app.Client{{ID: "load", Secret: "s", Scopes: []string{"greetings.read"}}}},
		})
		require.NoError(t, err)
		over := &http.Client{Transport: asking{service.(http.Handler)}}
		set := token.NewKeySet(token.KeySetConfig{Fetch: token.Discover(over, url)})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- set.Run(ctx) }()
		defer func() { stop(); require.NoError(t, <-ended) }()
		verifier, err := token.New(token.Config{Issuer: url, Audience: "app", Keys: set})
		require.NoError(t, err)
		login := clientcredentials.Config{ClientID: "load", ClientSecret: "s", TokenURL: url + "/oauth2/token"}
		got, err := login.Token(context.WithValue(t.Context(), oauth2.HTTPClient, over))
		require.NoError(t, err)
		ask := func(path string) string {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, strings.NewReader("token="+got.AccessToken))
			require.NoError(t, err)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.SetBasicAuth("load", "s")
			res, err := over.Do(r)
			require.NoError(t, err)
			text, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, res.StatusCode, "%s", text)
			return string(text)
		}
		require.Contains(t, ask("/oauth2/introspect"), `"active":true`)
		require.Empty(t, ask("/oauth2/revoke"))
		require.JSONEq(t, `{"active":false}`, ask("/oauth2/introspect"))
		time.Sleep(5*time.Minute + 29*time.Second)
		_, err = verifier.Verify(t.Context(), got.AccessToken)
		require.NoError(t, err)
		time.Sleep(time.Second)
		_, err = verifier.Verify(t.Context(), got.AccessToken)
		require.Equal(t, auth.Expired, auth.Reason(err), "%v", err)
	})
}

func TestTheRoleKeepsItsAccountsInADirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "issuer")
	require.NoError(t, account.SetPassword(dir, "ada", "correct horse"))
	for range 2 {
		_, err := issuer.New(&app.Env{
			Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
			Issuer: app.Issuer{URL: url, PublicURL: url, Dir: dir},
		})
		require.NoError(t, err)
	}
	for _, name := range []string{"keys.json", "clients.json", "users.json", "demo.secret"} {
		require.FileExists(t, filepath.Join(dir, name))
	}
	require.NoFileExists(t, filepath.Join(dir, "demo.password"), "there was a user")
}
