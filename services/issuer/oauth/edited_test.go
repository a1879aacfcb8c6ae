package oauth_test

import (
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/services/issuer/account"
)

// TestAnotherPasswordEndsWhatTheOldOneBegan is how an administrator takes a
// stolen account back.
func TestAnotherPasswordEndsWhatTheOldOneBegan(t *testing.T) {
	w := newWorld(t)
	tokens := w.tokens()
	code := w.login(ask()).Get("code")
	require.True(t, w.active(tokens.text("refresh_token")))
	var err error
	w.users[0].Password, err = account.HashPassword(t.Context(), "battery staple")
	require.NoError(t, err)
	w.edited()
	a := w.web("/oauth2/token", "grant_type", "refresh_token", "refresh_token", tokens.text("refresh_token"))
	require.Equal(t, "invalid_grant", a.text("error"), a.body)
	require.Contains(t, a.text("error_description"), "another password")
	require.False(t, w.active(tokens.text("refresh_token")))
	require.Equal(t, "invalid_grant", w.redeem(code).text("error"))
	page := w.get(base + "/oauth2/authorize?" + ask().Encode())
	require.Contains(t, page.body, `name="password"`, "the browser's session is over too")
}

func TestWhoIsGoneGetsNoToken(t *testing.T) {
	w := newWorld(t)
	tokens := w.tokens()
	w.users = nil
	w.edited()
	a := w.web("/oauth2/token", "grant_type", "refresh_token", "refresh_token", tokens.text("refresh_token"))
	require.Equal(t, "invalid_grant", a.text("error"), a.body)
	require.Contains(t, a.text("error_description"), "gone")
}

// TestAScopeThatAClientLostIsNotRenewed keeps the rest.
func TestAScopeThatAClientLostIsNotRenewed(t *testing.T) {
	w := newWorld(t)
	tokens := w.tokens()
	require.Contains(t, tokens.text("scope"), "read")
	w.clients[0].Scopes = []string{"write", "openid"}
	w.edited()
	a := w.web("/oauth2/token", "grant_type", "refresh_token", "refresh_token", tokens.text("refresh_token"))
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.NotContains(t, a.text("scope"), "read")
	require.Contains(t, a.text("scope"), "openid")
}

// TestAccountsThatCantBeReadCostNobodyTheirGrant has a file that is broken for a
// moment, as by an editor.
func TestAccountsThatCantBeReadCostNobodyTheirGrant(t *testing.T) {
	w := newWorld(t)
	code := w.login(ask()).Get("code")
	broken := func() {
		require.NoError(t, account.WritePrivate(filepath.Join(w.dir, "users.json"), []byte("[{")))
	}
	broken()
	require.Equal(t, http.StatusInternalServerError, w.redeem(code).status)
	w.edited()
	tokens := w.redeem(code)
	require.Equal(t, http.StatusOK, tokens.status, tokens.body)
	broken()
	refresh := func() answer {
		return w.web("/oauth2/token", "grant_type", "refresh_token", "refresh_token", tokens.text("refresh_token"))
	}
	require.Equal(t, http.StatusInternalServerError, refresh().status)
	w.edited()
	require.Equal(t, http.StatusOK, refresh().status)
}
