package oauth_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTokenRequestsAreRefusedByTheRFCsCodes(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		status int
		code   string
		send   []string
	}{
		"no client":                        {401, "invalid_client", []string{"grant_type", "client_credentials"}},
		"unknown client":                   {401, "invalid_client", []string{"grant_type", "client_credentials", "client_id", "x", "client_secret", "x"}},
		"wrong secret":                     {401, "invalid_client", []string{"grant_type", "client_credentials", "client_id", "web", "client_secret", "x"}},
		"no secret":                        {401, "invalid_client", []string{"grant_type", "client_credentials", "client_id", "web"}},
		"a secret of a public client":      {401, "invalid_client", []string{"grant_type", "client_credentials", "client_id", "native", "client_secret", "x"}},
		"no grant type":                    {400, "invalid_request", []string{"client_id", "web", "client_secret", secret}},
		"unknown grant type":               {400, "unsupported_grant_type", []string{"grant_type", "password", "client_id", "web", "client_secret", secret}},
		"a grant the client may not use":   {400, "unauthorized_client", []string{"grant_type", "client_credentials", "client_id", "native"}},
		"a scope the client may not have":  {400, "invalid_scope", []string{"grant_type", "client_credentials", "scope", "write", "client_id", "machine", "client_secret", "m"}},
		"a person's scope without one":     {400, "invalid_scope", []string{"grant_type", "client_credentials", "scope", "openid", "client_id", "web", "client_secret", secret}},
		"a parameter twice":                {400, "invalid_request", []string{"grant_type", "client_credentials", "scope", "read", "scope", "read", "client_id", "web", "client_secret", secret}},
		"no code":                          {400, "invalid_request", []string{"grant_type", "authorization_code", "client_id", "web", "client_secret", secret}},
		"no verifier":                      {400, "invalid_request", []string{"grant_type", "authorization_code", "code", "x", "client_id", "web", "client_secret", secret}},
		"an unknown code":                  {400, "invalid_grant", []string{"grant_type", "authorization_code", "code", "x", "code_verifier", verifier, "client_id", "web", "client_secret", secret}},
		"an introspection without a token": {400, "invalid_request", []string{"client_id", "web", "client_secret", secret}},
	} {
		t.Run(name, func(t *testing.T) {
			path := "/oauth2/token"
			if strings.Contains(name, "introspection") {
				path = "/oauth2/introspect"
			}
			refused(t, w.post(path, c.send...), c.status, c.code)
		})
	}
}

func TestAClientShowsOneIdentity(t *testing.T) {
	w := newWorld(t)
	send := func(header http.Header, pairs ...string) answer {
		return w.do(http.MethodPost, base+"/oauth2/token", values(append(pairs, "grant_type", "client_credentials")...), header)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.SetBasicAuth("web", url.QueryEscape(secret))
	good := r.Header
	require.Equal(t, http.StatusOK, send(good).status)
	refused(t, send(good, "client_secret", secret), http.StatusBadRequest, "invalid_request")
	refused(t, send(good, "client_id", "other"), http.StatusBadRequest, "invalid_request")
	r.SetBasicAuth("web", "wrong")
	bad := send(r.Header)
	refused(t, bad, http.StatusUnauthorized, "invalid_client")
	require.Contains(t, bad.header.Get("WWW-Authenticate"), "Basic ")
	refused(t, send(http.Header{"Authorization": {"Bearer x"}}), http.StatusUnauthorized, "invalid_client")
	refused(t, send(http.Header{"Content-Type": {"application/json"}}), http.StatusBadRequest, "invalid_request")
	big := values("client_id", "web", "scope", strings.Repeat("x", 17<<10))
	refused(t, w.do(http.MethodPost, base+"/oauth2/token", big, nil), http.StatusBadRequest, "invalid_request")
}

func TestACodeIsGoodForWhoAskedForIt(t *testing.T) {
	w := newWorld(t)
	code := w.login(ask()).Get("code")
	send := func(client, redirect, proof string) answer {
		return w.post("/oauth2/token", "grant_type", "authorization_code", "code", code, "redirect_uri", redirect, "code_verifier", proof,
			"client_id", client, "client_secret", map[string]string{"web": secret, "other": "other"}[client])
	}
	refused(t, send("other", callback, verifier), http.StatusBadRequest, "invalid_grant")
	refused(t, send("web", callback+"/", verifier), http.StatusBadRequest, "invalid_grant")
	refused(t, send("web", "", verifier), http.StatusBadRequest, "invalid_grant")
	refused(t, send("web", callback, verifier+"x"), http.StatusBadRequest, "invalid_grant")
	require.Equal(t, http.StatusOK, send("web", callback, verifier).status)
}

func TestARequestWhoseClientIsUnknownLeadsNowhere(t *testing.T) {
	w := newWorld(t)
	for name, v := range map[string]url.Values{
		"no client":        ask("client_id", ""),
		"unknown client":   ask("client_id", "x"),
		"no redirect":      ask("redirect_uri", ""),
		"foreign redirect": ask("redirect_uri", "https://evil.example.com/"),
		"longer redirect":  ask("redirect_uri", callback+"/more"),
		"redirect's query": ask("redirect_uri", callback+"?a=b"),
		"user info":        ask("redirect_uri", "https://web.example.com@evil.example.com/callback"),
		"other scheme":     ask("redirect_uri", "javascript:alert(1)"),
	} {
		t.Run(name, func(t *testing.T) {
			a := w.get("/oauth2/authorize?" + v.Encode())
			require.Equal(t, http.StatusBadRequest, a.status)
			require.Empty(t, a.header.Get("Location"))
		})
	}
}

func TestAuthorizationRequestsAreRefusedByTheRFCsCodes(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		code string
		ask  url.Values
	}{
		"no PKCE":              {"invalid_request", ask("code_challenge", "", "code_challenge_method", "")},
		"plain PKCE":           {"invalid_request", ask("code_challenge_method", "plain")},
		"no PKCE method":       {"invalid_request", ask("code_challenge_method", "")},
		"a short challenge":    {"invalid_request", ask("code_challenge", "short")},
		"no response type":     {"invalid_request", ask("response_type", "")},
		"implicit":             {"unsupported_response_type", ask("response_type", "token")},
		"hybrid":               {"unsupported_response_type", ask("response_type", "code id_token")},
		"fragment":             {"invalid_request", ask("response_mode", "fragment")},
		"an unknown scope":     {"invalid_scope", ask("scope", "openid admin")},
		"an unknown resource":  {"invalid_target", ask("resource", "https://elsewhere.example.com")},
		"a request object":     {"request_not_supported", ask("request", "x.y.z")},
		"one by reference":     {"request_uri_not_supported", ask("request_uri", "https://evil.example.com")},
		"nobody there":         {"login_required", ask("prompt", "none")},
		"none and login":       {"invalid_request", ask("prompt", "none login")},
		"an unknown prompt":    {"invalid_request", ask("prompt", "dance")},
		"max_age of no number": {"invalid_request", ask("max_age", "-1")},
		"two states":           {"invalid_request", func() url.Values { v := ask(); v.Add("state", "b"); return v }()},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.get("/oauth2/authorize?" + c.ask.Encode())
			require.Equal(t, http.StatusSeeOther, a.status, a.body)
			to, err := url.Parse(a.header.Get("Location"))
			require.NoError(t, err)
			require.Equal(t, "web.example.com", to.Host)
			require.Equal(t, c.code, to.Query().Get("error"))
			require.Equal(t, "s", to.Query().Get("state"))
			require.Equal(t, base, to.Query().Get("iss"))
			require.False(t, to.Query().Has("code"))
		})
	}
}

func TestARedirectOfALoopbackAddressMayHaveAnyPort(t *testing.T) {
	w := newWorld(t)
	for redirect, want := range map[string]int{
		"http://127.0.0.1:49152/cb": http.StatusOK, "http://127.0.0.1/cb": http.StatusOK, "com.example.app:/cb": http.StatusOK,
		"http://127.0.0.1:49152/other": http.StatusBadRequest, "http://localhost:1/cb": http.StatusBadRequest, "http://127.0.0.2:1/cb": http.StatusBadRequest,
		"https://127.0.0.1:49152/cb": http.StatusBadRequest,
	} {
		a := w.get("/oauth2/authorize?" + ask("client_id", "native", "redirect_uri", redirect).Encode())
		require.Equal(t, want, a.status, redirect)
	}
}

func TestPromptAndMaxAgeDecideWhoIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // time stands still
		w := newWorld(t)
		first := func(pairs ...string) answer { return w.get("/oauth2/authorize?" + ask(pairs...).Encode()) }
		w.login(ask())
		require.Contains(t, first().header.Get("Location"), "code=", "agreed before")
		require.Contains(t, first("prompt", "none").header.Get("Location"), "code=")
		require.Contains(t, first("scope", "read write").body, `value="allow"`, "more than was agreed to")
		require.Contains(t, first("scope", "read write", "prompt", "none").header.Get("Location"), "error=consent_required")
		require.Contains(t, first("prompt", "login").body, `name="password"`)
		require.Contains(t, first("prompt", "consent").body, `value="allow"`)
		w.skew = time.Minute
		require.Contains(t, first("max_age", "59").body, `name="password"`)
		require.Contains(t, first("max_age", "61").header.Get("Location"), "code=")
		require.NotEmpty(t, w.login(ask("prompt", "login")).Get("code"), "no end of logins otherwise")
		require.NotEmpty(t, w.login(ask("max_age", "0")).Get("code"))
		native := ask("client_id", "native", "redirect_uri", "http://127.0.0.1:7/cb")
		require.NotEmpty(t, w.login(native).Get("code"))
		require.Contains(t, w.get("/oauth2/authorize?"+native.Encode()).body, `value="allow"`, "RFC 8252 section 8.6")
	})
}

func TestAPersonMayDeny(t *testing.T) {
	w := newWorld(t)
	a := w.submit(w.get("/oauth2/authorize?"+ask().Encode()), "username", "ada", "password", password)
	a = w.submit(w.get(a.header.Get("Location")), "decision", "deny")
	require.Contains(t, a.header.Get("Location"), callback+"?error=access_denied")
}
