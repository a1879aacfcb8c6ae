package session_test

import (
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReturnToLeadsNowhereElse(t *testing.T) {
	w := newWorld(t)
	for _, to := range []string{
		"https://evil.example", "//evil.example", `/\evil.example`, `\\evil.example`, "/\t/evil.example", "/%2f/evil.example", "/%5cevil.example",
		"javascript:alert(1)", "evil", "", "/a/../b", "/a\r\nSet-Cookie: x=y", "///evil.example", "/auth/logout", "/auth/login", "/ /x", "http:/x",
	} {
		answer := w.ask(http.MethodGet, "/auth/login?return_to="+url.QueryEscape(to))
		require.Equal(t, http.StatusBadRequest, answer.Code, to)
		require.Empty(t, answer.Header().Get("Location"))
	}
	require.Equal(t, 400, w.ask(http.MethodGet, "/auth/login?return_to=/a&return_to=/b").Code)
	for _, to := range []string{"/", "/docs?x=1&y=%2F#part", "/a/b/"} {
		back := w.visitIssuer("/auth/login?return_to=" + url.QueryEscape(to))
		answer := w.ask(http.MethodGet, "/auth/callback?"+back.Encode())
		require.Equal(t, to, answer.Header().Get("Location"))
	}
}

func TestALoginIsEndedByWhoBeganItOnce(t *testing.T) {
	for name, test := range map[string]struct {
		change func(w *world, back url.Values)
		code   int
		reason string
	}{
		"another state":       {func(_ *world, b url.Values) { b.Set("state", b.Get("state")[:8]+"AAAAAAAA") }, 403, "LOGIN_UNKNOWN"},
		"no state":            {func(_ *world, b url.Values) { b.Del("state") }, 403, "LOGIN_UNKNOWN"},
		"another browser":     {func(w *world, _ url.Values) { clear(w.cookies) }, 403, "LOGIN_UNKNOWN"},
		"state twice":         {func(_ *world, b url.Values) { b.Add("state", b.Get("state")) }, 400, "BAD_LOGIN"},
		"code twice":          {func(_ *world, b url.Values) { b.Add("code", "x") }, 400, "BAD_LOGIN"},
		"another issuer":      {func(_ *world, b url.Values) { b.Set("iss", "https://evil.example") }, 403, "LOGIN_ISSUER"},
		"no issuer":           {func(_ *world, b url.Values) { b.Del("iss") }, 403, "LOGIN_ISSUER"},
		"refused":             {func(_ *world, b url.Values) { b.Del("code"); b.Set("error", "access_denied") }, 403, "LOGIN_REFUSED"},
		"it failed there":     {func(_ *world, b url.Values) { b.Del("code"); b.Set("error", "<script>") }, 502, "LOGIN_FAILED"},
		"no code":             {func(_ *world, b url.Values) { b.Del("code") }, 502, "LOGIN_FAILED"},
		"somebody else's":     {func(_ *world, b url.Values) { b.Set("code", "code-9") }, 401, "GRANT_REFUSED"},
		"too late":            {func(*world, url.Values) { sleep(11 * time.Minute) }, 403, "LOGIN_UNKNOWN"},
		"the issuer is broke": {func(w *world, _ url.Values) { w.issuer.breaks = true }, 503, "ISSUER_UNAVAILABLE"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				back := w.visitIssuer("/auth/login")
				test.change(w, back)
				answer := w.ask(http.MethodGet, "/auth/callback?"+back.Encode())
				require.Equal(t, test.code, answer.Code, answer.Body)
				require.Contains(t, answer.Body.String(), test.reason)
				require.NotContains(t, w.cookies, "__Host-session")
				require.NotContains(t, answer.Body.String(), "<script>")
			})
		})
	}
	t.Run("twice", func(t *testing.T) {
		w := newWorld(t)
		back := w.visitIssuer("/auth/login")
		require.Equal(t, 303, w.ask(http.MethodGet, "/auth/callback?"+back.Encode()).Code)
		require.Equal(t, 403, w.ask(http.MethodGet, "/auth/callback?"+back.Encode()).Code)
	})
}

func TestIDTokensAreVerified(t *testing.T) {
	for name, changes := range map[string]map[string]any{
		"forged":                {"forged": true},
		"another issuer's":      {"iss": "https://evil.example"},
		"for another client":    {"aud": "other"},
		"for two, by the other": {"aud": []string{"gateway", "other"}, "azp": "other"},
		"for two, by nobody":    {"aud": []string{"gateway", "other"}},
		"another nonce":         {"nonce": "x"},
		"no nonce":              {"nonce": nil},
		"nobody":                {"sub": nil},
		"ended":                 {"exp": time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC).Unix()},
		"no end":                {"exp": nil},
		"an end in words":       {"exp": "tomorrow"},
		"from the future":       {"iat": time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).Unix()},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.issuer.changes = changes
			back := w.visitIssuer("/auth/login")
			answer := w.ask(http.MethodGet, "/auth/callback?"+back.Encode())
			require.Equal(t, http.StatusUnauthorized, answer.Code)
			require.Contains(t, answer.Body.String(), "ID_TOKEN")
			require.NotContains(t, w.cookies, "__Host-session")
		})
	}
	t.Run("for two, by us", func(t *testing.T) {
		w := newWorld(t)
		w.issuer.changes = map[string]any{"aud": []string{"gateway", "other"}, "azp": "gateway"}
		w.logIn()
	})
}

func TestEX6AnIssuerThatIsAwayIsSaidSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.issuer.away = true
		answer := w.ask(http.MethodGet, "/auth/login")
		require.Equal(t, http.StatusServiceUnavailable, answer.Code)
		require.Contains(t, answer.Body.String(), "ISSUER_UNAVAILABLE")
		require.NotContains(t, answer.Body.String(), "192.0.2.9")
		require.Contains(t, w.log.String(), "192.0.2.9", "whoever runs it finds out why")
		w.header.Set("Accept", "text/html,*/*")
		answer = w.ask(http.MethodGet, "/auth/login")
		require.Equal(t, http.StatusServiceUnavailable, answer.Code)
		require.Contains(t, answer.Header().Get("Content-Type"), "text/html")
		require.Contains(t, answer.Body.String(), "try again")
		require.NotContains(t, answer.Body.String(), "192.0.2.9")
		require.Equal(t, "5", answer.Header().Get("Retry-After"))
		w.issuer.away = false
		sleep(time.Second)
		w.logIn()
	})
}

func TestMetadataOfAnotherIssuerIsNotBelieved(t *testing.T) {
	for name, value := range map[string]string{
		"issuer": "https://evil.example", "token_endpoint": "http://192.0.2.1/token", "jwks_uri": "file:///etc/passwd",
		"authorization_endpoint": "javascript:alert(1)", "revocation_endpoint": "http://localhost:8500/v1/kv",
	} {
		w := newWorld(t)
		w.issuer.metadata = map[string]any{name: value}
		require.Equal(t, http.StatusServiceUnavailable, w.ask(http.MethodGet, "/auth/login").Code, name)
	}
}

func TestTabsLogInSideBySideWithinBounds(t *testing.T) {
	w := newWorld(t)
	first := w.visitIssuer("/auth/login?return_to=/one")
	second := w.visitIssuer("/auth/login?return_to=/two")
	require.Equal(t, "/one", w.ask(http.MethodGet, "/auth/callback?"+first.Encode()).Header().Get("Location"))
	require.Equal(t, "/two", w.ask(http.MethodGet, "/auth/callback?"+second.Encode()).Header().Get("Location"))
	for range 20 {
		w.visitIssuer("/auth/login")
	}
	require.LessOrEqual(t, len(w.cookies), 5)
}
