package issuer_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"example.com/app/platform/app"
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
