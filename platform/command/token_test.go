package command

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/network"
)

// An idp is an issuer of few words. Its tokens say what was asked for.
type idp struct {
	t      *testing.T
	ground *network.Memory
	server http.Server

	mu       sync.Mutex
	metadata map[string]any     // what differs from the usual
	answers  []http.HandlerFunc // of the next requests to the token endpoint, in order
	asked    []url.Values       // at the token endpoint
	at       []time.Time        // when
	device   map[string]any     // what differs in answers to device requests
	refresh  string             // that is good; changed by each use
	stolen   bool               // a used one came back
	lifetime int                // seconds
}

// issuing starts an issuer at http://localhost:8080 in memory.
func issuing(t *testing.T) *idp {
	t.Helper()
	i := &idp{t: t, ground: network.NewMemory(), lifetime: 300}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		all := map[string]any{
			"issuer": "http://localhost:8080", "token_endpoint": "http://localhost:8080/oauth2/token",
			"device_authorization_endpoint": "http://localhost:8080/oauth2/device",
		}
		for k, v := range i.metadata {
			all[k] = v
		}
		_ = json.NewEncoder(w).Encode(all)
	})
	mux.HandleFunc("POST /oauth2/device", func(w http.ResponseWriter, r *http.Request) {
		all := map[string]any{"device_code": "dc", "user_code": "WDJB-MJHT", "verification_uri": "http://localhost:8080/oauth2/code", "expires_in": 600, "interval": 5}
		for k, v := range i.device {
			all[k] = v
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(all)
	})
	mux.HandleFunc("POST /oauth2/token", i.token)
	i.server.Handler = mux
	ln, err := i.ground.Host("desk").Listen(t.Context(), ":8080")
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = i.server.Serve(ln)
	}()
	t.Cleanup(func() {
		_ = i.server.Close()
		<-ended
	})
	return i
}

func (i *idp) token(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := r.ParseForm(); err != nil {
		i.t.Error(err)
	}
	if id, secret, ok := r.BasicAuth(); ok {
		r.PostForm.Set("basic", id+":"+secret)
	}
	i.asked, i.at = append(i.asked, r.PostForm), append(i.at, time.Now())
	if len(i.answers) > 0 {
		answer := i.answers[0]
		i.answers = i.answers[1:]
		if answer != nil {
			answer(w, r)
			return
		}
	}
	if used := r.PostForm.Get("refresh_token"); used != "" && used != i.refresh {
		i.stolen = true
		refuse(400, "invalid_grant")(w, r)
		return
	}
	i.refresh = fmt.Sprintf("refresh-%d", len(i.asked))
	claims, _ := json.Marshal(map[string]any{"n": len(i.asked), "scope": r.PostForm.Get("scope")})
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"access_token": "e30." + base64.RawURLEncoding.EncodeToString(claims) + ".c2ln", "token_type": "Bearer", "expires_in": i.lifetime,
		"refresh_token": i.refresh,
	})
}

// refuse answers with an error code of the protocol.
func refuse(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"error":%q,"error_description":"no \u001b[2J such luck"}`, code)
	}
}

func sayJSON(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(text))
}

// asking is `app token` beside an issuer, with a home of its own.
func (i *idp) asking(change func(*login)) (*login, *bytes.Buffer, *bytes.Buffer) {
	dir := i.t.TempDir()
	require.NoError(i.t, os.WriteFile(filepath.Join(dir, "demo.secret"), []byte("s3cret\n"), 0o600))
	client := newLoginClient()
	transport := client.Transport.(*http.Transport)
	transport.DialContext = func(ctx context.Context, _, addr string) (net.Conn, error) {
		return i.ground.Host("desk").Dial(ctx, addr)
	}
	i.t.Cleanup(transport.CloseIdleConnections)
	var out, errw bytes.Buffer
	l := &login{
		issuer: "http://localhost:8080", issuerDir: dir, patience: 10 * time.Second, cache: filepath.Join(dir, "tokens"),
		client: client, in: strings.NewReader(""), out: &out, err: &errw,
	}
	if change != nil {
		change(l)
	}
	return l, &out, &errw
}

// claimed is the claims of the one token that was printed.
func claimed(t *testing.T, out *bytes.Buffer) (n int, scope string) {
	t.Helper()
	require.Equal(t, 1, strings.Count(out.String(), "\n"), "the token stands alone: %q", out)
	parts := strings.Split(strings.TrimSpace(out.String()), ".")
	require.Len(t, parts, 3)
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	var claims struct {
		N     int
		Scope string
	}
	require.NoError(t, json.Unmarshal(text, &claims))
	out.Reset()
	return claims.N, claims.Scope
}

func TestTokenIsGotByClientCredentialsAndPrintedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := issuing(t)
		l, out, errw := i.asking(func(l *login) {
			l.scopes = []string{"a b", "c"}
			l.resource = "https://api.example"
			l.audience = "app"
		})
		require.NoError(t, l.run(t.Context()))
		n, scope := claimed(t, out)
		require.Equal(t, 1, n)
		require.Equal(t, "a b c", scope)
		require.Empty(t, errw.String())
		require.Equal(t, url.Values{
			"grant_type": {"client_credentials"}, "scope": {"a b c"}, "resource": {"https://api.example"}, "audience": {"app"}, "basic": {"demo:s3cret"},
		}, i.asked[0])
	})
}

func TestTokenSecretGoesIntoTheFormWhereTheIssuerWantsThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := issuing(t)
		i.metadata = map[string]any{"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt"}}
		l, _, _ := i.asking(func(l *login) { l.clientID = "ci"; l.secretFile = "-"; l.in = strings.NewReader("other\n") })
		require.NoError(t, l.run(t.Context()))
		require.Equal(t, url.Values{"grant_type": {"client_credentials"}, "client_id": {"ci"}, "client_secret": {"other"}}, i.asked[0])
	})
}

func TestTokenIsKeptUntilShortlyBeforeItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := issuing(t)
		l, out, _ := i.asking(nil)
		again := func(want int) {
			t.Helper()
			require.NoError(t, l.run(t.Context()))
			n, _ := claimed(t, out)
			require.Equal(t, want, n)
		}
		again(1)
		time.Sleep(269 * time.Second)
		again(1)
		time.Sleep(2 * time.Second)
		again(2)
		require.Equal(t, "refresh_token", i.asked[1].Get("grant_type"))
		l.fresh = true
		again(3)
		require.Equal(t, "client_credentials", i.asked[2].Get("grant_type"))
		l.fresh = false
		again(3)
		l.scopes = []string{"other"}
		again(4)
		l.scopes = nil
		again(3)
		require.False(t, i.stolen)
	})
}

func TestTokenIsRefreshedByOneProgramAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := issuing(t)
		first, out, _ := i.asking(nil)
		require.NoError(t, first.run(t.Context()))
		claimed(t, out)
		time.Sleep(time.Hour)
		second, other, _ := i.asking(func(l *login) { l.cache, l.issuerDir = first.cache, first.issuerDir })
		require.NoError(t, second.run(t.Context()))
		require.NoError(t, first.run(t.Context()))
		n, _ := claimed(t, out)
		m, _ := claimed(t, other)
		require.Equal(t, []int{2, 2}, []int{n, m})
		require.False(t, i.stolen, "nobody used a refresh token twice")
	})
}

func TestTokenIsAskedForAnewWhereTheIssuerForgotTheOldOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := issuing(t)
		l, out, _ := i.asking(nil)
		require.NoError(t, l.run(t.Context()))
		claimed(t, out)
		time.Sleep(time.Hour)
		i.refresh = "gone"
		require.NoError(t, l.run(t.Context()))
		n, _ := claimed(t, out)
		require.Equal(t, 3, n)
		require.Equal(t, "client_credentials", i.asked[2].Get("grant_type"))
		time.Sleep(time.Hour)
		i.answers = []http.HandlerFunc{refuse(503, "temporarily_unavailable")}
		require.Error(t, l.run(t.Context()), "an issuer that is unwell has not forgotten")
	})
}

func TestEX2KeptTokenIsNobodyElsesBusiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := issuing(t)
		l, out, _ := i.asking(nil)
		require.NoError(t, l.run(t.Context()))
		claimed(t, out)
		files, err := filepath.Glob(filepath.Join(l.cache, "*.json"))
		require.NoError(t, err)
		require.Len(t, files, 1)
		for name, mode := range map[string]os.FileMode{files[0]: 0o600, l.cache: 0o700} {
			info, err := os.Stat(name)
			require.NoError(t, err)
			require.Equal(t, mode, info.Mode().Perm(), name)
		}
		text, err := os.ReadFile(files[0])
		require.NoError(t, err)
		require.NotContains(t, string(text), "s3cret")
		require.NotContains(t, filepath.Base(files[0]), "demo")

		for n, spoil := range []func() error{
			func() error { return os.Chmod(files[0], 0o644) },
			func() error { return os.WriteFile(files[0], []byte(`{"access`), 0o600) },
			func() error { return os.Truncate(files[0], 0) },
			func() error { return os.Remove(files[0]) },
		} {
			require.NoError(t, spoil())
			require.NoError(t, l.run(t.Context()))
			got, _ := claimed(t, out)
			require.Equal(t, n+2, got, "it counts for nothing")
			info, err := os.Stat(files[0])
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		}
		left, err := filepath.Glob(filepath.Join(l.cache, "new-*"))
		require.NoError(t, err)
		require.Empty(t, left)

		l.cache = ""
		require.NoError(t, l.run(t.Context()), "without a home nothing is kept")
	})
}

func TestTokenByDeviceWaitsForThePersonAndSlowsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := issuing(t)
		i.answers = []http.HandlerFunc{
			refuse(400, "authorization_pending"), refuse(400, "slow_down"), refuse(400, "authorization_pending"),
			refuse(502, ""), // a gateway that hiccups
		}
		l, out, errw := i.asking(func(l *login) { l.device = true; l.scopes = []string{"openid"} })
		begin := time.Now()
		require.NoError(t, l.run(t.Context()))
		n, _ := claimed(t, out)
		require.Equal(t, 5, n)
		require.Equal(t, "Open http://localhost:8080/oauth2/code\nand type WDJB-MJHT\n", errw.String())
		var after []time.Duration
		for _, at := range i.at {
			after = append(after, at.Sub(begin))
		}
		require.Equal(t, []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second, 40 * time.Second}, after)
		require.Equal(t, url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {"dc"}, "client_id": {"app"}, "scope": {"openid"},
		}, i.asked[0])

		errw.Reset()
		require.NoError(t, l.run(t.Context()))
		require.Empty(t, errw.String(), "nobody is asked while the token is kept")
		time.Sleep(time.Hour)
		require.NoError(t, l.run(t.Context()))
		require.Empty(t, errw.String(), "or can be refreshed")
		require.Equal(t, "refresh_token", i.asked[5].Get("grant_type"))
		require.Equal(t, "app", i.asked[5].Get("client_id"))
	})
}

func TestTokenByDeviceEndsWhenThePersonSaysNoOrNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := issuing(t)
		l, _, _ := i.asking(func(l *login) { l.device = true })
		i.answers = []http.HandlerFunc{refuse(400, "access_denied")}
		err := l.run(t.Context())
		require.ErrorContains(t, err, "access_denied")
		require.Equal(t, "it was refused in the browser", hintOf(err))

		i.device = map[string]any{"expires_in": 12}
		for range 100 {
			i.answers = append(i.answers, refuse(400, "authorization_pending"))
		}
		begin := time.Now()
		err = l.run(t.Context())
		require.EqualError(t, err, "get token from http://localhost:8080: the code expired")
		require.Equal(t, "nobody allowed it in time: run it again", hintOf(err))
		require.InDelta(t, 12, time.Since(begin).Seconds(), 0.1)

		ctx, stop := context.WithTimeout(t.Context(), 7*time.Second)
		defer stop()
		require.Error(t, l.run(ctx), "Ctrl-C")

		for name, bad := range map[string]map[string]any{
			"a script":        {"verification_uri": "javascript:alert(1)"},
			"control letters": {"user_code": "A\x1b[2J"},
			"no code":         {"user_code": ""},
		} {
			i.device = bad
			require.ErrorContains(t, l.run(t.Context()), "no page where a person could allow it", name)
		}
		i.metadata = map[string]any{"device_authorization_endpoint": nil}
		require.ErrorContains(t, l.run(t.Context()), "it has no device flow")
	})
}

func TestTokenErrorsSayWhatToDoAndNothingSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := issuing(t)
		for name, c := range map[string]struct {
			answer     http.HandlerFunc
			want, hint string
			kind       errs.Kind
		}{
			"wrong secret":  {refuse(401, "invalid_client"), `"invalid_client": "no \x1b[2J such luck"`, `does the issuer know a client "demo", and is the secret in `, errs.Unauthenticated},
			"unknown scope": {refuse(400, "invalid_scope"), `"invalid_scope"`, "without it the issuer gives what the client may have", errs.Unauthenticated},
			"not its grant": {refuse(400, "unauthorized_client"), `"unauthorized_client"`, "app token --device", errs.Unauthenticated},
			"not known":     {refuse(400, "weird"), `"weird"`, "", errs.Unauthenticated},
			"a page": {func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(502)
				_, _ = w.Write([]byte("<html>s3cret\x1b[2J"))
			}, "it answered 502 Bad Gateway", "is that an OAuth2 issuer", errs.Unavailable},
			"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://evil.example/", http.StatusTemporaryRedirect)
			}, "it answered 307", "", errs.Unavailable},
			"no bearer": {func(w http.ResponseWriter, _ *http.Request) {
				sayJSON(w, `{"access_token":"x","token_type":"DPoP"}`)
			}, "it is not a bearer token", "", errs.Unsupported},
			"nothing":  {func(w http.ResponseWriter, _ *http.Request) { sayJSON(w, `{}`) }, "get token from http://localhost:8080: oauth2: server response missing access_token", "", errs.Unavailable},
			"nonsense": {func(w http.ResponseWriter, _ *http.Request) { sayJSON(w, "\x1b") }, "get token from http://localhost:8080: oauth2: cannot parse json", "", errs.Unavailable},
			"no token": {func(w http.ResponseWriter, _ *http.Request) {
				sayJSON(w, `{"access_token":"a\\nb","token_type":"Bearer"}`)
			}, "it is not a bearer token", "", errs.Unsupported},
		} {
			l, out, _ := i.asking(nil)
			i.answers = []http.HandlerFunc{c.answer}
			err := l.run(t.Context())
			require.ErrorContains(t, err, c.want, name)
			require.Contains(t, hintOf(err), c.hint, name)
			require.True(t, c.kind.Is(err), name)
			require.NotContains(t, err.Error(), "s3cret", name)
			require.NotContains(t, err.Error(), "\x1b", name)
			require.Empty(t, out.String(), name)
		}
		l, _, _ := i.asking(func(l *login) { l.issuer = "http://127.0.0.1:9999" })
		err := l.run(t.Context())
		require.ErrorContains(t, err, "get token from http://127.0.0.1:9999: ")
		require.True(t, errs.Unavailable.Is(err))
		i.answers = []http.HandlerFunc{func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }}
		l, _, _ = i.asking(nil)
		begin := time.Now()
		require.ErrorContains(t, l.run(t.Context()), "context deadline exceeded")
		require.Equal(t, 10*time.Second, time.Since(begin))
	})
}

func TestTokenIssuerMustBeWhoItSaysAndKeepSecretsOffTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := issuing(t)
		for name, c := range map[string]struct {
			metadata map[string]any
			want     string
		}{
			"another name":     {map[string]any{"issuer": "http://127.0.0.1:8080"}, `calls itself "http://127.0.0.1:8080"`},
			"a plain endpoint": {map[string]any{"token_endpoint": "http://id.example/token"}, "it is not https"},
			"a plain page":     {map[string]any{"device_authorization_endpoint": "http://id.example/device"}, "it is not https"},
			"no endpoint":      {map[string]any{"token_endpoint": ""}, "no URL"},
		} {
			i.metadata = c.metadata
			l, _, _ := i.asking(nil)
			require.ErrorContains(t, l.run(t.Context()), c.want, name)
		}
		require.Empty(t, i.asked, "no secret was sent")
		i.metadata = map[string]any{"issuer": strings.Repeat("x", 2<<20)}
		l, _, _ := i.asking(nil)
		require.ErrorContains(t, l.run(t.Context()), "less than 1 MiB")
	})
}

func TestTokenCommandLineThatMakesNoSenseIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*login)
		want   string
	}{
		"no URL":        {func(l *login) { l.issuer = "localhost:8080" }, "want a URL"},
		"a query":       {func(l *login) { l.issuer = "https://id.example?x=1" }, "want a URL"},
		"a user":        {func(l *login) { l.issuer = "https://a:b@id.example" }, "want a URL"},
		"no patience":   {func(l *login) { l.patience = 0 }, "--timeout"},
		"plain":         {func(l *login) { l.issuer = "http://id.example"; l.secretFile = "x" }, "it is not https"},
		"foreign":       {func(l *login) { l.issuer = "https://id.example" }, "--client-secret-file is missing"},
		"a way out":     {func(l *login) { l.clientID = "../../x" }, "--client-secret-file"},
		"a wrong scope": {func(l *login) { l.issuerDir = "" }, "--client-secret-file is missing"},
	} {
		l := &login{issuer: "http://localhost:8080", issuerDir: t.TempDir(), patience: time.Second}
		c.change(l)
		require.ErrorContains(t, l.check(), c.want, name)
	}
	l := &login{issuer: "https://id.example", issuerDir: t.TempDir(), patience: time.Second, localSecret: true}
	require.NoError(t, l.check(), "who names the directory means it")
	l = &login{issuer: "http://id.example/", secretFile: "x", allowHTTP: true, patience: time.Second}
	require.NoError(t, l.check())
	require.Equal(t, "http://id.example", l.issuer)

	cmd := Token()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs([]string{"--issuer=nonsense"})
	require.ErrorAs(t, cmd.Execute(), new(*UsageError))
	for _, flag := range []string{"client-secret", "password", "token", "admin-token"} {
		require.Nil(t, cmd.Flags().Lookup(flag), "EX2: no flag takes the text of a secret")
	}
}

func TestTokenShowTellsTheClaimsAndThatNobodyVerifiedThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := issuing(t)
		l, out, errw := i.asking(func(l *login) { l.show = true; l.scopes = []string{"a"} })
		require.NoError(t, l.run(t.Context()))
		require.Equal(t, "{\n  \"n\": 1,\n  \"scope\": \"a\"\n}\n", out.String())
		require.Equal(t, "not verified; expires in 5m0s\n", errw.String())
		i.answers = []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
			sayJSON(w, `{"access_token":"opaque","token_type":"bearer"}`)
		}}
		l.fresh = true
		require.ErrorContains(t, l.run(t.Context()), "the token is not a JWT")
	})
}
