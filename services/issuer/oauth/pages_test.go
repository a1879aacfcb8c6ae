package oauth_test

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPagesAreSafeToShow(t *testing.T) {
	w := newWorld(t)
	a := w.get("/oauth2/authorize?" + ask("state", `"><script>alert(1)</script>`).Encode())
	require.Equal(t, http.StatusOK, a.status)
	require.NotContains(t, a.body, "<script")
	require.NotContains(t, a.body, "style=")
	require.Equal(t, "default-src 'none'; style-src 'self'; form-action 'self' https://web.example.com; frame-ancestors 'none'; base-uri 'none'",
		a.header.Get("Content-Security-Policy"))
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
	cookie := a.header.Get("Set-Cookie")
	for _, part := range []string{"__Host-issuer=", "; Path=/", "; HttpOnly", "; Secure", "; SameSite=Lax"} {
		require.Contains(t, cookie, part)
	}
	require.NotContains(t, cookie, "Domain")
	css := w.get("/oauth2/style.css")
	require.Equal(t, http.StatusOK, css.status)
	require.NotContains(t, css.body, "url(")
}

// TestAU13FormsOfOtherSitesDoNothing: each of the two guards is enough.
func TestAU13FormsOfOtherSitesDoNothing(t *testing.T) {
	w := newWorld(t)
	page := w.get("/oauth2/authorize?" + ask().Encode())
	form := values("username", "ada", "password", password, "next", "/oauth2/authorize?"+ask().Encode())
	require.Equal(t, http.StatusForbidden, w.browse(http.MethodPost, "/oauth2/login", form).status, "no mark")
	form.Set("mark", "guessed")
	require.Equal(t, http.StatusForbidden, w.browse(http.MethodPost, "/oauth2/login", form).status, "a wrong mark")
	for _, header := range []http.Header{{"Sec-Fetch-Site": {"cross-site"}}, {"Sec-Fetch-Site": {"same-site"}}, {"Origin": {"https://evil.example.com"}}, {"Origin": {"null"}}} {
		for _, path := range []string{"/oauth2/login", "/oauth2/consent", "/oauth2/device", "/oauth2/logout/confirm"} {
			require.Equal(t, http.StatusForbidden, w.do(http.MethodPost, base+path, form, header).status, "%v", header)
		}
	}
	mark := regexp.MustCompile(`name="mark" value="([^"]*)"`).FindStringSubmatch(page.body)[1]
	form.Set("mark", mark)
	cookie := "__Host-issuer=" + w.cookies["__Host-issuer"]
	foreign := w.do(http.MethodPost, base+"/oauth2/login", form, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Cookie": {cookie}})
	require.Equal(t, http.StatusForbidden, foreign.status, "with everything but the site")
	other := newWorld(t)
	other.server = w.server
	elsewhere := other.get("/oauth2/authorize?" + ask().Encode())
	w.cookies = map[string]string{}
	require.Equal(t, http.StatusForbidden, w.submit(elsewhere, "username", "ada", "password", password).status, "another browser's mark")
}

func TestALoginGivesANewCookieAndLeadsNowhereElse(t *testing.T) {
	w := newWorld(t)
	page := w.get("/oauth2/authorize?" + ask().Encode())
	before := w.cookies["__Host-issuer"]
	for _, next := range []string{"https://evil.example.com/", "//evil.example.com/oauth2/authorize", "/oauth2/authorize/../../x", "/", ""} {
		a := w.submit(page, "username", "ada", "password", password, "next", next)
		require.Equal(t, http.StatusBadRequest, a.status, next)
	}
	require.Equal(t, http.StatusSeeOther, w.submit(page, "username", "ada", "password", password).status)
	require.NotEqual(t, before, w.cookies["__Host-issuer"], "session fixation")
}

func TestNobodyLearnsWhichNamesThereAre(t *testing.T) {
	w := newWorld(t)
	page := w.get("/oauth2/authorize?" + ask().Encode())
	known, unknown := w.submit(page, "username", "ada", "password", "x"), w.submit(page, "username", "nobody", "password", "x")
	require.Equal(t, http.StatusForbidden, known.status)
	require.Equal(t, known.status, unknown.status)
	require.Equal(t, known.body, unknown.body)
}

func TestPasswordsCanNotBeTriedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // time stands still
		w := newWorld(t)
		page := w.get("/oauth2/authorize?" + ask().Encode())
		tries := func(name string, addresses int) (n int, last answer) {
			for n = range 200 {
				w.from = "192.0.2." + strconv.Itoa(n%addresses)
				if last = w.submit(page, "username", name, "password", "wrong"); last.status != http.StatusForbidden {
					return n, last
				}
			}
			return
		}
		n, last := tries("ada", 1)
		require.Equal(t, 10, n, "from one address")
		require.Equal(t, http.StatusTooManyRequests, last.status)
		seconds, err := strconv.Atoi(last.header.Get("Retry-After"))
		require.NoError(t, err)
		require.InDelta(t, 12, seconds, 1)
		require.Equal(t, http.StatusTooManyRequests, w.submit(page, "username", "ada", "password", password).status)
		w.from = "203.0.113.1"
		require.Equal(t, http.StatusSeeOther, w.submit(page, "username", "ada", "password", password).status, "who guesses elsewhere locks nobody out")
		w.from = "192.0.2.0"
		w.skew = time.Duration(seconds) * time.Second
		page = w.get("/oauth2/authorize?" + ask("prompt", "login").Encode())
		require.Equal(t, http.StatusSeeOther, w.submit(page, "username", "ada", "password", password).status)
		page = w.get("/oauth2/authorize?" + ask("prompt", "login").Encode())
		n, last = tries("bob", 50)
		require.Equal(t, 100, n, "from wherever")
		require.Equal(t, http.StatusTooManyRequests, last.status)

		w.from = "198.51.100.1"
		for i := range 31 {
			last = w.submit(w.get("/oauth2/authorize?"+ask("prompt", "login").Encode()), "username", "name"+strconv.Itoa(i), "password", "wrong")
		}
		require.Equal(t, http.StatusTooManyRequests, last.status, "from one address, whoever")
		for i := range 31 {
			w.from = "2001:db8:0:" + strconv.Itoa(i) + "::1"
			last = w.submit(w.get("/oauth2/authorize?"+ask("prompt", "login").Encode()), "username", "another"+strconv.Itoa(i), "password", "wrong")
		}
		require.Equal(t, http.StatusTooManyRequests, last.status, "an IPv6 network is one address")
	})
}

func TestSecretsOfClientsCanNotBeTriedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // time stands still
		w := newWorld(t)
		for range 20 {
			refused(t, w.post("/oauth2/token", "grant_type", "client_credentials", "client_id", "web", "client_secret", "x"), http.StatusUnauthorized, "invalid_client")
		}
		a := w.web("/oauth2/token", "grant_type", "client_credentials")
		refused(t, a, http.StatusTooManyRequests, "temporarily_unavailable")
		require.NotEmpty(t, a.header.Get("Retry-After"))
		other := w.post("/oauth2/token", "grant_type", "client_credentials", "client_id", "other", "client_secret", "other")
		require.Equal(t, http.StatusOK, other.status, "other clients are not held back")
		w.from = "192.0.2.9"
		require.Equal(t, http.StatusOK, w.web("/oauth2/token", "grant_type", "client_credentials").status, "nor the client elsewhere")
	})
}

func TestALogoutAsksUnlessItIsKnownWhoLeaves(t *testing.T) {
	w := newWorld(t)
	id := w.tokens().text("id_token")
	page := w.get("/oauth2/logout?post_logout_redirect_uri=https://web.example.com/bye&client_id=web&state=x")
	require.Contains(t, page.body, "ada")
	require.NotEmpty(t, w.cookies, "a link alone logs nobody out")
	require.Equal(t, "https://web.example.com/bye?state=x", w.submit(page).header.Get("Location"))
	require.Empty(t, w.cookies)
	require.Contains(t, w.get("/oauth2/authorize?"+ask().Encode()).body, `name="password"`)

	w.tokens()
	a := w.get("/oauth2/logout?id_token_hint=" + id + "&post_logout_redirect_uri=https://web.example.com/bye")
	require.Equal(t, "https://web.example.com/bye", a.header.Get("Location"))
	for _, bad := range []string{"post_logout_redirect_uri=https://evil.example.com&client_id=web", "post_logout_redirect_uri=https://web.example.com/bye", "id_token_hint=x"} {
		require.Equal(t, http.StatusBadRequest, w.get("/oauth2/logout?"+bad).status, bad)
	}
}

func TestMetadataNamesWhatAnswers(t *testing.T) {
	w := newWorld(t)
	a, b := w.get("/.well-known/openid-configuration"), w.get("/.well-known/oauth-authorization-server")
	require.Equal(t, a.json, b.json)
	require.Equal(t, base, a.json["issuer"])
	for name, at := range a.json {
		if uri, ok := at.(string); ok && name != "issuer" {
			require.True(t, strings.HasPrefix(uri, base+"/oauth2/"), uri)
			require.NotEqual(t, http.StatusNotFound, w.get(uri).status, uri)
		}
	}
	require.NotContains(t, w.get("/oauth2/jwks").body, `"d"`)
}
