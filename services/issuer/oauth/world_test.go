package oauth_test

import (
	"context"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"example.com/app/services/issuer/account"
	"example.com/app/services/issuer/keys"
	"example.com/app/services/issuer/oauth"
)

const (
	base     = "https://id.example.com"
	callback = "https://web.example.com/callback"
	secret   = "a secret/with+signs: 100%"
	password = "correct horse"
)

// world is an issuer and a browser in front of it.
type world struct {
	t       testing.TB
	server  *oauth.Server
	dir     string // of its accounts
	clients []account.Client
	users   []account.User
	ring    *keys.Ring
	skew    time.Duration // of the issuer's clock
	cookies map[string]string
	from    string // address of the browser
}

// cheap is a cost that tests can pay many times.
var cheap = account.Cost{Memory: 64, Passes: 1}

func newWorld(t testing.TB) *world {
	w := &world{t: t, cookies: make(map[string]string), from: "192.0.2.1"}
	now := func() time.Time { return time.Now().Add(w.skew) }
	hash, err := account.HashPassword(t.Context(), password)
	require.NoError(t, err)
	all := []string{"read", "write", "openid", "profile", "offline_access"}
	flows := []string{"authorization_code", "refresh_token", "client_credentials", account.DeviceGrant}
	w.clients = []account.Client{
		{ID: "web", SecretHash: account.HashSecret(secret), Grants: flows, Scopes: all, Redirects: []string{callback}, LogoutRedirects: []string{"https://web.example.com/bye"}, Roles: []string{"robot"}},
		{ID: "other", SecretHash: account.HashSecret("other"), Grants: flows, Scopes: all, Redirects: []string{callback}},
		{ID: "native", Grants: []string{"authorization_code", "refresh_token", account.DeviceGrant}, Scopes: all, Redirects: []string{"http://127.0.0.1/cb", "com.example.app:/cb"}},
		{ID: "machine", SecretHash: account.HashSecret("m"), Grants: []string{"client_credentials"}, Scopes: []string{"read"}},
	}
	w.users = []account.User{{Name: "ada", Subject: "subject-of-ada", Display: "Ada", Password: hash, Roles: []string{"admin"}}}
	w.dir = t.TempDir()
	w.edited()
	accounts, err := account.Open(account.Config{Cost: cheap, PublicURL: base, Dir: w.dir})
	require.NoError(t, err)
	w.ring, err = keys.New(keys.Config{Now: now})
	require.NoError(t, err)
	w.server, err = oauth.New(oauth.Config{Issuer: base, Accounts: accounts, Keys: w.ring, Now: now})
	require.NoError(t, err)
	return w
}

// edited writes the accounts down as they are now.
func (w *world) edited() {
	w.t.Helper()
	for name, list := range map[string]any{"clients.json": w.clients, "users.json": w.users} {
		data, err := json.Marshal(list)
		require.NoError(w.t, err)
		require.NoError(w.t, account.WritePrivate(filepath.Join(w.dir, name), data))
	}
}

// RoundTrip has a client of net/http ask the server in this process.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), r.Body)
	in.Header = r.Header.Clone()
	in.Header.Set("X-Forwarded-For", w.from)
	out := httptest.NewRecorder()
	w.server.ServeHTTP(out, in)
	res := out.Result()
	res.Request = r
	return res, nil
}

// over is a context in which x/oauth2 asks the server.
func (w *world) over() context.Context {
	return context.WithValue(w.t.Context(), oauth2.HTTPClient, &http.Client{Transport: w})
}

// answer is a response, read.
type answer struct {
	status int
	header http.Header
	body   string
	json   map[string]any
}

func (a answer) text(name string) string { s, _ := a.json[name].(string); return s }

func (w *world) do(method, to string, form url.Values, header http.Header) answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, to, strings.NewReader(form.Encode()))
	require.NoError(w.t, err)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, values := range header {
		r.Header[name] = values
	}
	res, err := w.RoundTrip(r)
	require.NoError(w.t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	require.NoError(w.t, err)
	a := answer{status: res.StatusCode, header: res.Header, body: string(body)}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		require.NoError(w.t, json.Unmarshal(body, &a.json))
	}
	for _, c := range res.Cookies() {
		w.cookies[c.Name] = c.Value
		if c.MaxAge < 0 {
			delete(w.cookies, c.Name)
		}
	}
	return a
}

// post asks an endpoint for clients. pairs are names and values.
func (w *world) post(path string, pairs ...string) answer {
	w.t.Helper()
	return w.do(http.MethodPost, base+path, values(pairs...), nil)
}

// web is post as the client web.
func (w *world) web(path string, pairs ...string) answer {
	w.t.Helper()
	return w.post(path, append(pairs, "client_id", "web", "client_secret", secret)...)
}

func values(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

// browse is what the browser gets to see.
func (w *world) browse(method, to string, form url.Values) answer {
	w.t.Helper()
	if strings.HasPrefix(to, "/") {
		to = base + to
	}
	h := http.Header{"Sec-Fetch-Site": {"same-origin"}}
	for name, value := range w.cookies {
		h.Set("Cookie", name+"="+value)
	}
	return w.do(method, to, form, h)
}

func (w *world) get(to string) answer { w.t.Helper(); return w.browse(http.MethodGet, to, nil) }

// submit sends the form of a page, with some fields filled in.
func (w *world) submit(a answer, pairs ...string) answer {
	w.t.Helper()
	action := regexp.MustCompile(`<form method="post" action="([^"]*)"`).FindStringSubmatch(a.body)
	require.NotNil(w.t, action, a.body)
	form := values(pairs...)
	for _, m := range regexp.MustCompile(`type="hidden" name="([^"]*)" value="([^"]*)"`).FindAllStringSubmatch(a.body, -1) {
		if !form.Has(m[1]) {
			form.Set(m[1], html.UnescapeString(m[2]))
		}
	}
	return w.browse(http.MethodPost, action[1], form)
}

const verifier = "a-verifier-of-forty-three-characters-or-more-0"

// ask is an authorization request of the client web.
func ask(pairs ...string) url.Values {
	v := values("client_id", "web", "redirect_uri", callback, "response_type", "code", "scope", "openid read", "state", "s", "nonce", "n",
		"code_challenge", oauth2.S256ChallengeFromVerifier(verifier), "code_challenge_method", "S256")
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			v.Del(pairs[i])
		}
	}
	return v
}

// login follows an authorization request through the pages as ada, who agrees to
// everything, and returns the query that the client gets.
func (w *world) login(v url.Values) url.Values {
	w.t.Helper()
	a := w.get("/oauth2/authorize?" + v.Encode())
	for range 6 {
		switch to := a.header.Get("Location"); {
		case strings.HasPrefix(to, "/"):
			a = w.get(to)
		case to != "":
			u, err := url.Parse(to)
			require.NoError(w.t, err)
			require.Equal(w.t, v.Get("redirect_uri"), strings.TrimSuffix(to, "?"+u.RawQuery))
			return u.Query()
		case strings.Contains(a.body, `name="password"`):
			a = w.submit(a, "username", "ada", "password", password)
		case strings.Contains(a.body, `value="allow"`):
			a = w.submit(a, "decision", "allow")
		default:
			require.Fail(w.t, "a page nobody expects", a.body)
		}
	}
	require.Fail(w.t, "no end of pages")
	return nil
}

// tokens are those of a whole login.
func (w *world) tokens() answer {
	w.t.Helper()
	a := w.redeem(w.login(ask()).Get("code"))
	require.Equal(w.t, http.StatusOK, a.status, a.body)
	return a
}

func (w *world) redeem(code string) answer {
	w.t.Helper()
	return w.web("/oauth2/token", "grant_type", "authorization_code", "code", code, "redirect_uri", callback, "code_verifier", verifier)
}

func (w *world) active(token string) bool {
	w.t.Helper()
	a := w.web("/oauth2/introspect", "token", token)
	require.Equal(w.t, http.StatusOK, a.status, a.body)
	return a.json["active"] == true
}

// said verifies a token with the published keys and returns its type and claims.
func (w *world) said(token string) (string, map[string]any) {
	w.t.Helper()
	set := w.get("/oauth2/jwks")
	var published jose.JSONWebKeySet
	require.NoError(w.t, json.Unmarshal([]byte(set.body), &published))
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	require.NoError(w.t, err)
	found := published.Key(parsed.Headers[0].KeyID)
	require.Len(w.t, found, 1, "the key is published")
	require.True(w.t, found[0].IsPublic())
	claims := make(map[string]any)
	require.NoError(w.t, parsed.Claims(found[0], &claims))
	return parsed.Headers[0].ExtraHeaders[jose.HeaderType].(string), claims
}

// refused wants an error of the protocol.
func refused(t testing.TB, a answer, status int, code string) {
	t.Helper()
	require.Equal(t, code, a.text("error"), a.body)
	require.Equal(t, status, a.status, a.body)
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
}
