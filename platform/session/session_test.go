package session_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/session"
)

func TestAU13ABrowserLogsInAndItsCookieBecomesAToken(t *testing.T) {
	w := newWorld(t)
	require.Empty(t, w.token(), "nobody has logged in")
	w.logIn()
	require.Equal(t, "Bearer access-2-", w.token())
	require.Len(t, w.cookies, 1, "that of the login is gone")
	for _, c := range w.cookies {
		require.NotContains(t, c.Value, "access")
	}
	me := w.ask(http.MethodGet, "/auth/me")
	require.Equal(t, http.StatusOK, me.Code)
	require.Equal(t, "no-store", me.Header().Get("Cache-Control"))
	require.Contains(t, me.Body.String(), `"subject":"u1","name":"Ada","scopes":["openid","greet"]`)
	require.NotContains(t, me.Body.String(), "access-")
	require.NotContains(t, me.Body.String(), "refresh-")
	require.NotContains(t, w.log.String(), "access-")
	require.NotContains(t, w.log.String(), "s3cret")
}

func TestGW12OurCookiesEndAtTheGateway(t *testing.T) {
	w := newWorld(t)
	w.logIn()
	w.visitIssuer("/auth/login") // leaves a cookie of a login
	w.header.Set("Cookie", "theme=dark")
	w.token()
	w.ask(http.MethodGet, "/x")
	h := w.backend.last()
	require.Equal(t, []string{"theme=dark"}, h["Cookie"])
}

func TestGW12PathsThatNeedNoTokenGetNone(t *testing.T) {
	w := newWorld(t)
	cfg := config(w.issuer)
	cfg.Except = []string{"/oauth2"}
	w.gateway = gateway(t, cfg, w.backend)
	w.logIn()
	for path, lent := range map[string]bool{"/oauth2": false, "/oauth2/authorize": false, "/oauth2x": true, "/": true} {
		w.ask(http.MethodGet, path)
		h := w.backend.last()
		require.Equal(t, lent, h.Get("Authorization") != "", path)
		require.Empty(t, h["Cookie"])
	}
}

func TestAU5ASessionAndAnAuthorizationHeaderAreRefused(t *testing.T) {
	w := newWorld(t)
	w.logIn()
	w.header.Set("Authorization", "Bearer mine")
	answer := w.ask(http.MethodGet, "/v1/greetings")
	require.Equal(t, http.StatusUnauthorized, answer.Code)
	require.Contains(t, answer.Body.String(), "TOKEN_REPEATED")
	require.Nil(t, w.backend.last())
	clear(w.cookies)
	require.Equal(t, "Bearer mine", w.token(), "alone it is none of our business")
}

func TestAU13OtherSitesCannotUseASession(t *testing.T) {
	for name, test := range map[string]struct {
		method string
		header map[string]string
		code   int
	}{
		"our own page":              {http.MethodPost, map[string]string{"Sec-Fetch-Site": "same-origin"}, 200},
		"no browser":                {http.MethodPost, nil, 200},
		"another site":              {http.MethodPost, map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		"another host of the site":  {http.MethodDelete, map[string]string{"Sec-Fetch-Site": "same-site"}, 403},
		"an old browser, elsewhere": {http.MethodPut, map[string]string{"Origin": "https://evil.example"}, 403},
		"an old browser, here":      {http.MethodPut, map[string]string{"Origin": "https://app.example.com"}, 200},
		"null":                      {http.MethodPost, map[string]string{"Origin": "null"}, 403},
		"a link from elsewhere":     {http.MethodGet, map[string]string{"Sec-Fetch-Site": "cross-site"}, 200},
		"a websocket of elsewhere":  {http.MethodGet, map[string]string{"Sec-Fetch-Site": "cross-site", "Upgrade": "websocket"}, 403},
		"our own websocket":         {http.MethodGet, map[string]string{"Origin": "https://app.example.com", "Upgrade": "websocket"}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.logIn()
			for k, v := range test.header {
				w.header.Set(k, v)
			}
			answer := w.ask(test.method, "/v1/greetings")
			require.Equal(t, test.code, answer.Code)
			require.Equal(t, test.code == 200, w.backend.last() != nil)
			if test.method == http.MethodPost && test.code == 403 {
				require.Equal(t, 403, w.ask(http.MethodPost, "/auth/logout").Code, "nor log anybody out")
				require.Len(t, w.cookies, 1)
			}
		})
	}
}

func TestASessionWithoutCookieIsAsBefore(t *testing.T) {
	w := newWorld(t)
	w.header.Set("Sec-Fetch-Site", "cross-site")
	require.Equal(t, http.StatusOK, w.ask(http.MethodPost, "/v1/greetings").Code, "without a cookie there is nothing to misuse")
}

func TestABadCookieIsNoSession(t *testing.T) {
	const name = "__Host-session"
	spoil := func(w *world, change func(string) string) { w.cookies[name].Value = change(w.cookies[name].Value) }
	for what, change := range map[string]func(string) string{
		"cut":     func(v string) string { return v[:len(v)-1] },
		"empty":   func(string) string { return "" },
		"garbage": func(string) string { return "AAAA" },
		"bit":     func(v string) string { return v[:40] + string(v[40]^1) + v[41:] },
		"longer":  func(v string) string { return v + "AAAA" },
		"twice":   func(v string) string { return v },
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			w.logIn()
			if what == "bit" && !strings.Contains("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", string(w.cookies[name].Value[40])) {
				change = func(v string) string { return v[:40] + "A" + v[41:] }
			}
			spoil(w, change)
			if what == "twice" {
				w.header.Set("Cookie", name+"="+w.cookies[name].Value)
			}
			require.Empty(t, w.token())
			require.Empty(t, w.cookies, "the browser is told to forget it")
			w.header.Del("Cookie")
			require.Equal(t, http.StatusUnauthorized, w.ask(http.MethodGet, "/auth/me").Code)
		})
	}
	t.Run("a login's in place of a session's", func(t *testing.T) {
		w := newWorld(t)
		w.visitIssuer("/auth/login")
		for _, c := range w.cookies {
			w.cookies = map[string]*http.Cookie{name: {Name: name, Value: c.Value}}
		}
		require.Empty(t, w.token())
	})
	t.Run("of another client", func(t *testing.T) {
		w := newWorld(t)
		w.logIn()
		cfg := config(w.issuer)
		cfg.ClientID = "other"
		w.gateway = gateway(t, cfg, w.backend)
		require.Empty(t, w.token())
	})
}

func TestKeysRotate(t *testing.T) {
	w := newWorld(t)
	w.logIn()
	cfg := config(w.issuer)
	cfg.Key, cfg.OldKeys = key("n"), [][]byte{key("k")}
	w.gateway = gateway(t, cfg, w.backend)
	require.NotEmpty(t, w.token(), "the old key opens")
	cfg.OldKeys = nil
	w.gateway = gateway(t, cfg, w.backend)
	require.Empty(t, w.token())
	cfg.Key = []byte("short")
	_, err := session.New(cfg)
	require.ErrorContains(t, err, "want 32")
}

func TestSessionsEndWhenNobodyUsesThemAndAtLastAnyway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.logIn()
		began := time.Now()
		for time.Since(began) < 12*time.Hour {
			require.NotEmpty(t, w.token(), time.Since(began))
			sleep(50 * time.Minute)
		}
		require.Empty(t, w.token(), "12 h are over")
		w.logIn()
		sleep(61 * time.Minute)
		require.Empty(t, w.token(), "an hour without a request")
	})
}

func TestALogoutEndsTheSessionForThoseWhoKeptTheCookieToo(t *testing.T) {
	w := newWorld(t)
	w.logIn()
	kept := *w.cookies["__Host-session"]
	require.Equal(t, http.StatusMethodNotAllowed, w.ask(http.MethodGet, "/auth/logout").Code)
	require.Equal(t, http.StatusNoContent, w.ask(http.MethodPost, "/auth/logout").Code)
	require.Empty(t, w.cookies)
	require.Equal(t, []string{"refresh-2"}, w.issuer.revoked)
	w.cookies[kept.Name] = &kept
	require.Empty(t, w.token())
	w.header.Set("Accept", "text/html")
	page := w.ask(http.MethodPost, "/auth/logout")
	require.Equal(t, http.StatusSeeOther, page.Code)
	require.Equal(t, "/", page.Header().Get("Location"), "the issuer has no page for that")
}

func TestAPersonLogsOutAtTheIssuerToo(t *testing.T) {
	w := newWorld(t)
	w.issuer.metadata = map[string]any{"end_session_endpoint": issuerURL + "/end?a=b"}
	w.logIn()
	w.header.Set("Accept", "text/html")
	page := w.ask(http.MethodPost, "/auth/logout")
	require.Equal(t, http.StatusSeeOther, page.Code)
	require.Equal(t, issuerURL+"/end?a=b&client_id=gateway&post_logout_redirect_uri=https%3A%2F%2Fapp.example.com%2F", page.Header().Get("Location"))
	require.Empty(t, w.cookies)
}

func TestALongTokenIsSplitAndATooLongOneRefused(t *testing.T) {
	w := newWorld(t)
	w.issuer.padding = 7000
	w.logIn()
	require.Greater(t, len(w.cookies), 1)
	require.Len(t, w.token(), len("Bearer access-2-")+7000)
	w.issuer.padding = 8100
	w.logIn()
	before := len(w.cookies)
	w.issuer.padding = 10
	w.logIn()
	require.Less(t, len(w.cookies), before, "parts that are not needed any more are dropped")
	require.NotEmpty(t, w.token())

	w.issuer.padding = 20000
	back := w.visitIssuer("/auth/login")
	require.GreaterOrEqual(t, w.ask(http.MethodGet, "/auth/callback?"+back.Encode()).Code, 500)
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	for _, change := range []func(*session.Config){
		func(c *session.Config) { c.Issuer = "login.example.com" },
		func(c *session.Config) { c.Issuer = "ftp://login.example.com" },
		func(c *session.Config) { c.ClientID = "" },
		func(c *session.Config) { c.Client = nil },
		func(c *session.Config) { c.RedirectURL = "https://app.example.com/elsewhere" },
		func(c *session.Config) { c.RedirectURL = "/auth/callback" },
		func(c *session.Config) { c.OldKeys = [][]byte{nil} },
	} {
		cfg := config(newIssuer(t))
		change(&cfg)
		_, err := session.New(cfg)
		require.Error(t, err)
	}
}

// Whatever a browser sends as a session's cookie: it is no session, and no
// panic.
func FuzzCookie(f *testing.F) {
	is := newIssuer(f)
	next := new(backend)
	h := gateway(f, config(is), next)
	for _, seed := range []string{"", "AAAA", "__Host-session=AAAA", "__Host-session=; __Host-session-1=x", "a=b; __Host-session=%00", strings.Repeat("x", 5000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := httptest.NewRequest(http.MethodGet, "https://app.example.com/x", nil)
		r.Header["Cookie"] = []string{text}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, http.StatusOK, w.Code)
		seen := next.last()
		require.Empty(t, seen.Get("Authorization"))
		for _, c := range (&http.Request{Header: seen}).Cookies() {
			require.False(t, strings.HasPrefix(c.Name, "__Host-session"), "%q", c.Name)
		}
	})
}
