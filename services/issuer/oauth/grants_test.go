package oauth_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"example.com/app/services/issuer/account"
)

func endpoint(style oauth2.AuthStyle) oauth2.Endpoint {
	at := base + "/oauth2/"
	return oauth2.Endpoint{AuthURL: at + "authorize", TokenURL: at + "token", DeviceAuthURL: at + "device_authorization", AuthStyle: style}
}

func TestAClientGetsATokenForItself(t *testing.T) {
	w := newWorld(t)
	for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams} {
		c := clientcredentials.Config{ClientID: "web", ClientSecret: secret, TokenURL: endpoint(style).TokenURL, AuthStyle: style, Scopes: []string{"read"}}
		token, err := c.Token(w.over())
		require.NoError(t, err)
		require.Empty(t, token.RefreshToken, "it can ask again (RFC 6749 section 4.4.3)")
		typ, claims := w.said(token.AccessToken)
		require.Equal(t, "at+jwt", typ)
		require.Equal(t, base, claims["iss"])
		require.Equal(t, "web", claims["sub"])
		require.Equal(t, "web", claims["client_id"])
		require.Equal(t, "app", claims["aud"])
		require.Equal(t, "read", claims["scope"])
		require.Equal(t, []any{"robot"}, claims["roles"])
		require.NotEmpty(t, claims["jti"])
		require.InDelta(t, 300, claims["exp"].(float64)-claims["iat"].(float64), 0)
	}
}

func TestAPersonLogsInWithCodeAndPKCE(t *testing.T) {
	w := newWorld(t)
	c := oauth2.Config{ClientID: "web", ClientSecret: secret, Endpoint: endpoint(oauth2.AuthStyleInHeader), RedirectURL: callback, Scopes: []string{"openid", "profile", "read"}}
	v := oauth2.GenerateVerifier()
	u, err := url.Parse(c.AuthCodeURL("the state", oauth2.S256ChallengeOption(v), oauth2.SetAuthURLParam("nonce", "the nonce")))
	require.NoError(t, err)
	got := w.login(u.Query())
	require.Equal(t, "the state", got.Get("state"))
	require.Equal(t, base, got.Get("iss"), "RFC 9207")

	token, err := c.Exchange(w.over(), got.Get("code"), oauth2.VerifierOption(v))
	require.NoError(t, err)
	_, access := w.said(token.AccessToken)
	require.Equal(t, "subject-of-ada", access["sub"])
	require.Equal(t, []any{"admin"}, access["roles"], "of the person, not of the client")
	require.Equal(t, "openid profile read", access["scope"])
	typ, id := w.said(token.Extra("id_token").(string))
	require.Equal(t, "JWT", typ)
	require.Equal(t, "web", id["aud"])
	require.Equal(t, "the nonce", id["nonce"])
	require.Equal(t, "Ada", id["name"])
	require.NotNil(t, id["auth_time"])
	require.NotEmpty(t, id["at_hash"])

	info := w.do(http.MethodGet, base+"/oauth2/userinfo", nil, http.Header{"Authorization": {"Bearer " + token.AccessToken}})
	require.Equal(t, map[string]any{"sub": "subject-of-ada", "name": "Ada", "preferred_username": "ada"}, info.json)

	token.Expiry = time.Now().Add(-time.Hour)
	fresh, err := c.TokenSource(w.over(), token).Token()
	require.NoError(t, err)
	require.NotEqual(t, token.AccessToken, fresh.AccessToken)
	require.NotEqual(t, token.RefreshToken, fresh.RefreshToken, "rotated")
}

func TestACodeThatComesTwiceRevokesWhatItGave(t *testing.T) {
	w := newWorld(t)
	code := w.login(ask()).Get("code")
	first := w.redeem(code)
	require.True(t, w.active(first.text("access_token")))
	require.True(t, w.active(first.text("refresh_token")))

	refused(t, w.redeem(code), http.StatusBadRequest, "invalid_grant")
	require.False(t, w.active(first.text("access_token")))
	require.False(t, w.active(first.text("refresh_token")))
	refused(t, w.web("/oauth2/token", "grant_type", "refresh_token", "refresh_token", first.text("refresh_token")), http.StatusBadRequest, "invalid_grant")
}

func TestARefreshTokenThatComesTwiceRevokesItsFamily(t *testing.T) {
	w := newWorld(t)
	first := w.tokens().text("refresh_token")
	refresh := func(token string) answer {
		return w.web("/oauth2/token", "grant_type", "refresh_token", "refresh_token", token)
	}
	second := refresh(first)
	require.Equal(t, http.StatusOK, second.status, second.body)
	_, id := w.said(second.text("id_token"))
	require.NotContains(t, id, "nonce")
	third := refresh(second.text("refresh_token"))
	require.True(t, w.active(third.text("access_token")))

	refused(t, refresh(first), http.StatusBadRequest, "invalid_grant")
	require.False(t, w.active(third.text("access_token")), "access tokens of the family too")
	refused(t, refresh(third.text("refresh_token")), http.StatusBadRequest, "invalid_grant")
}

func TestAGuessedRefreshTokenHarmsNobody(t *testing.T) {
	w := newWorld(t)
	a := w.tokens()
	family, _, _ := strings.Cut(a.text("refresh_token"), ".")
	for _, forged := range []string{family, family + ".1.x", family + ".0." + strings.Repeat("A", 43), "", "...", family + ".99999999999999999999.x"} {
		refused(t, w.web("/oauth2/token", "grant_type", "refresh_token", "refresh_token", forged), http.StatusBadRequest, "invalid_grant")
	}
	require.True(t, w.active(a.text("access_token")))
	require.True(t, w.active(a.text("refresh_token")))
}

func TestARefreshedTokenMayLessNeverMore(t *testing.T) {
	w := newWorld(t)
	a := w.web("/oauth2/token", "grant_type", "refresh_token", "refresh_token", w.tokens().text("refresh_token"), "scope", "read")
	require.Equal(t, "read", a.text("scope"), a.body)
	a = w.web("/oauth2/token", "grant_type", "refresh_token", "refresh_token", a.text("refresh_token"), "scope", "read write")
	refused(t, a, http.StatusBadRequest, "invalid_scope")
}

func TestGrantsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // time stands still
		w := newWorld(t)
		code := w.login(ask()).Get("code")
		w.skew = 61 * time.Second
		refused(t, w.redeem(code), http.StatusBadRequest, "invalid_grant")

		a := w.tokens()
		w.skew += 5*time.Minute + time.Second
		require.False(t, w.active(a.text("access_token")))
		require.True(t, w.active(a.text("refresh_token")))
		w.skew += 31 * 24 * time.Hour
		refused(t, w.web("/oauth2/token", "grant_type", "refresh_token", "refresh_token", a.text("refresh_token")), http.StatusBadRequest, "invalid_grant")
	})
}

// allow has ada decide about the device that shows a code.
func (w *world) allow(uri, decision string) answer {
	a := w.get(uri)
	if strings.Contains(a.body, `name="password"`) {
		a = w.get(w.submit(a, "username", "ada", "password", password).header.Get("Location"))
	}
	return w.submit(a, "decision", decision)
}

func TestADeviceWaitsForAPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := oauth2.Config{ClientID: "native", Endpoint: endpoint(oauth2.AuthStyleInParams), Scopes: []string{"read"}}
		d, err := c.DeviceAuth(w.over())
		require.NoError(t, err)
		require.Regexp(t, `^[B-Z]{4}-[B-Z]{4}$`, d.UserCode)
		time.AfterFunc(22*time.Second, func() { require.Contains(t, w.allow(d.VerificationURIComplete, "allow").body, "has access now") })
		start := time.Now()
		token, err := c.DeviceAccessToken(w.over(), d)
		require.NoError(t, err)
		require.Equal(t, 25*time.Second, time.Since(start), "it asks every 5 s")
		_, claims := w.said(token.AccessToken)
		require.Equal(t, "subject-of-ada", claims["sub"])
	})
}

func TestADeviceIsToldWhatItNeedsToKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // time stands still
		w := newWorld(t)
		begin := func() answer { return w.post("/oauth2/device_authorization", "client_id", "native", "scope", "read") }
		poll := func(d answer) answer {
			return w.post("/oauth2/token", "grant_type", account.DeviceGrant, "client_id", "native", "device_code", d.text("device_code"))
		}
		d := begin()
		refused(t, poll(d), http.StatusBadRequest, "authorization_pending")
		refused(t, poll(d), http.StatusBadRequest, "slow_down")
		w.skew += 6 * time.Second
		refused(t, poll(d), http.StatusBadRequest, "slow_down")
		w.skew += 16 * time.Second
		refused(t, poll(d), http.StatusBadRequest, "authorization_pending")
		w.allow(d.text("verification_uri_complete"), "deny")
		w.skew += 16 * time.Second
		refused(t, poll(d), http.StatusBadRequest, "access_denied")

		d = begin()
		w.allow(d.text("verification_uri")+"?user_code="+strings.ToLower(strings.ReplaceAll(d.text("user_code"), "-", "%20")), "allow")
		require.Contains(t, w.get(d.text("verification_uri_complete")).body, "not known", "a code is good once")
		require.Equal(t, http.StatusOK, poll(d).status)
		w.skew += 6 * time.Second
		refused(t, poll(d), http.StatusBadRequest, "invalid_grant")

		d = begin()
		w.skew += 11 * time.Minute
		refused(t, poll(d), http.StatusBadRequest, "expired_token")
		refused(t, w.post("/oauth2/token", "grant_type", account.DeviceGrant, "client_id", "native", "device_code", "x"), http.StatusBadRequest, "invalid_grant")
		refused(t, w.post("/oauth2/device_authorization", "client_id", "machine", "client_secret", "m"), http.StatusBadRequest, "unauthorized_client")
	})
}

func TestRevocationEndsWhatItNames(t *testing.T) {
	w := newWorld(t)
	a := w.tokens()
	require.Equal(t, http.StatusOK, w.web("/oauth2/revoke", "token", a.text("access_token")).status)
	require.False(t, w.active(a.text("access_token")))
	require.True(t, w.active(a.text("refresh_token")), "an access token goes alone")

	b := w.tokens()
	refused(t, w.post("/oauth2/revoke", "token", b.text("refresh_token"), "client_id", "other", "client_secret", "other"), http.StatusBadRequest, "invalid_grant")
	refused(t, w.post("/oauth2/revoke", "token", b.text("access_token"), "client_id", "other", "client_secret", "other"), http.StatusBadRequest, "invalid_grant")
	require.True(t, w.active(b.text("access_token")))
	require.Equal(t, http.StatusOK, w.web("/oauth2/revoke", "token", b.text("refresh_token")).status)
	require.False(t, w.active(b.text("access_token")), "a refresh token takes its grant along")
	require.Equal(t, http.StatusOK, w.web("/oauth2/revoke", "token", "nobody knows it").status, "RFC 7009 section 2.2")
}

func TestIntrospectionAnswersWhoHasASecret(t *testing.T) {
	w := newWorld(t)
	a := w.tokens()
	refused(t, w.post("/oauth2/introspect", "token", a.text("access_token"), "client_id", "native"), http.StatusUnauthorized, "invalid_client")
	got := w.post("/oauth2/introspect", "token", a.text("access_token"), "client_id", "other", "client_secret", "other")
	require.Equal(t, "subject-of-ada", got.text("sub"))
	require.Equal(t, "openid read", got.text("scope"))
	foreign := w.post("/oauth2/introspect", "token", a.text("refresh_token"), "client_id", "other", "client_secret", "other")
	require.Equal(t, map[string]any{"active": false}, foreign.json, "a refresh token is its client's business")
	for _, bad := range []string{"x", a.text("access_token") + "x", a.text("id_token")} {
		require.Equal(t, map[string]any{"active": false}, w.web("/oauth2/introspect", "token", bad).json)
	}
}

func TestAResourceIsNamedInTheToken(t *testing.T) {
	w := newWorld(t)
	a := w.web("/oauth2/token", "grant_type", "client_credentials", "scope", "read", "resource", base+"/v1", "resource", "app")
	_, claims := w.said(a.text("access_token"))
	require.Equal(t, []any{"app", base + "/v1"}, claims["aud"])
	for _, foreign := range []string{"https://elsewhere.example.com", "x", base + ".evil.example", base + "/v1#part"} {
		refused(t, w.web("/oauth2/token", "grant_type", "client_credentials", "resource", foreign), http.StatusBadRequest, "invalid_target")
	}
}

func TestOldTokensVerifyWhileTheirKeyIsAbout(t *testing.T) {
	w := newWorld(t)
	mint := func() string { return w.web("/oauth2/token", "grant_type", "client_credentials").text("access_token") }
	first := mint()
	require.NoError(t, w.ring.Rotate())
	w.said(first)
	require.True(t, w.active(first))
	second := mint()
	w.said(second)
	require.NoError(t, w.ring.Rotate())
	require.True(t, w.active(second))
	require.False(t, w.active(first), "its key is gone after two changes")
}
