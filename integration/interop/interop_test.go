// Package interop_test has the issuer, and what verifies its tokens, meet peers
// of other people: npm's openid-client and oidc-provider.
package interop_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2/clientcredentials"

	"example.com/app/platform/auth"
	"example.com/app/platform/auth/token"
	"example.com/app/platform/errs"
	"example.com/app/services/issuer/account"
	"example.com/app/services/issuer/keys"
	"example.com/app/services/issuer/oauth"
)

const (
	secret   = "a secret/with+signs: 100%"
	password = "correct horse"
)

// modules installs what package-lock.json names, unless it is there.
func modules(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs node")
	}
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("no %s: apt-get install nodejs npm (18 or later)", program)
		}
	}
	want, err := os.Stat("package-lock.json")
	require.NoError(t, err)
	if have, err := os.Stat("node_modules/.package-lock.json"); err == nil && !have.ModTime().Before(want.ModTime()) {
		return
	}
	out, err := exec.CommandContext(t.Context(), "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts").CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// serve is the issuer over TCP.
func serve(t *testing.T) string {
	t.Helper()
	var handler atomic.Pointer[oauth.Server]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.Load().ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	hash, err := account.HashPassword(t.Context(), password)
	require.NoError(t, err)
	scopes := []string{"read", "openid", "profile", "offline_access"}
	accounts, err := account.Open(account.Config{
		Clients: []account.Client{
			{ID: "web", SecretHash: account.HashSecret(secret), Scopes: scopes, Redirects: []string{"https://web.example.com/callback"},
				Grants: []string{"authorization_code", "refresh_token", "client_credentials"}},
			{ID: "native", Scopes: scopes, Redirects: []string{"http://127.0.0.1/callback"}, Grants: []string{account.DeviceGrant, "authorization_code"}},
		},
		Users: []account.User{{Name: "ada", Subject: "subject-of-ada", Display: "Ada", Password: hash}},
	})
	require.NoError(t, err)
	ring, err := keys.New(keys.Config{})
	require.NoError(t, err)
	issuer, err := oauth.New(oauth.Config{Issuer: server.URL, Accounts: accounts, Keys: ring})
	require.NoError(t, err)
	handler.Store(issuer)
	return server.URL
}

// TestOpenIDClientIsContentWithTheIssuer runs discovery, every grant and what
// undoes them with openid-client.
func TestOpenIDClientIsContentWithTheIssuer(t *testing.T) {
	modules(t)
	cmd := exec.CommandContext(t.Context(), "node", "openid.mjs")
	cmd.Env = append(os.Environ(), "ISSUER="+serve(t), "SECRET="+secret, "PASSWORD="+password)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, 8, strings.Count(string(out), "ok "), "%s", out)
}

// TestAU13APersonLogsInWithARealBrowser: the pages work under their own policy,
// cookie and all.
func TestAU13APersonLogsInWithARealBrowser(t *testing.T) {
	modules(t)
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("needs a browser: apt-get install chromium")
	}
	profile, err := os.MkdirTemp("", "browser") // not t.TempDir: Chromium writes to it a moment longer
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(profile) })
	client := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write([]byte("called back with " + r.URL.RawQuery))
	}))
	t.Cleanup(client.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "browser.mjs")
	cmd.Env = append(os.Environ(), "ISSUER="+serve(t), "CALLBACK="+client.URL+"/callback", "PASSWORD="+password, "CHROMIUM="+chromium, "PROFILE="+profile)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "ok\n", string(out))
}

// TestTokensOfAForeignIssuerAreTaken verifies what oidc-provider signs, with keys
// found by its metadata.
func TestTokensOfAForeignIssuerAreTaken(t *testing.T) {
	modules(t)
	provider := exec.CommandContext(t.Context(), "node", "provider.mjs")
	provider.Env, provider.Stderr = append(os.Environ(), "SECRET="+secret), t.Output()
	in, err := provider.StdinPipe()
	require.NoError(t, err)
	out, err := provider.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, provider.Start())
	defer func() { _, _ = in.Close(), provider.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	issuer := strings.TrimSpace(line)

	set := token.NewKeySet(token.KeySetConfig{Fetch: token.Discover(http.DefaultClient, issuer)})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- set.Run(ctx) }()
	defer func() { stop(); <-ended }()
	c := clientcredentials.Config{ClientID: "service", ClientSecret: secret, TokenURL: issuer + "/token", Scopes: []string{"greetings.read"}}
	got, err := c.Token(t.Context())
	require.NoError(t, err)

	verifier, err := token.New(token.Config{Issuer: issuer, Audience: "app", Keys: set})
	require.NoError(t, err)
	who, err := verifier.Verify(t.Context(), got.AccessToken)
	require.NoError(t, err)
	require.Equal(t, "service", who.Client)
	require.Equal(t, []string{"greetings.read"}, who.Scopes)

	other, err := token.New(token.Config{Issuer: issuer, Audience: "another system", Keys: set})
	require.NoError(t, err)
	_, err = other.Verify(t.Context(), got.AccessToken)
	require.True(t, errs.Unauthenticated.Is(err))
	require.NotEqual(t, auth.Missing, auth.Reason(err))
}
