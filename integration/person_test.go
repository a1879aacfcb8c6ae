package integration

import (
	"context"
	"encoding/json"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/app"
	"example.com/app/services/issuer/account"
)

// TestAPersonLogsInAndOut is told at a browser, which holds cookies and no
// token: behind a gateway, in front of which somebody ends TLS.
func TestAPersonLogsInAndOut(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, account.SetPassword(dir, "ada", "analytical engine"))
	everyWorld(t, func(t *testing.T, w *world) {
		w.settings(func(cfg *app.Config) {
			cfg.Security.IssuerDir, cfg.Security.PublicURL = dir, "https://app.example"
			cfg.Gate.SessionKey = "32 bytes that all gateways share, or more"
		})
		w.start("phrasebook-1", "greeter-1", "gateway-1")
		b := newBrowser(w, "https://app.example")
		const greeting = "/v1/greetings/Ada"
		require.Equal(t, http.StatusUnauthorized, b.visit(greeting).status)

		page := b.visit("/auth/login?return_to=" + greeting)
		require.Contains(t, page.text, "Log in")
		page = page.send(url.Values{"username": {"ada"}, "password": {"difference engine"}})
		require.Contains(t, page.text, "The name or the password is wrong.")
		page = page.send(url.Values{"username": {"ada"}, "password": {"analytical engine"}})
		require.Contains(t, page.text, "wants to act for you, <strong>ada</strong>")
		page = page.send(url.Values{"decision": {"allow"}})
		require.Equal(t, greeting, page.at.Path, page.text)
		require.Contains(t, page.text, "Hello, Ada!")

		// Any gateway knows who that is.
		w.start("gateway-2")
		w.eventually(20*time.Second, "the other gateway answers", func() bool {
			return b.visit(greeting).status == http.StatusOK && w.calls("gateway-2") > 0
		})
		require.Equal(t, http.StatusForbidden, b.do(http.MethodPost, "/auth/logout", nil, http.Header{"Origin": {"https://evil.example"}}).status)
		require.Equal(t, http.StatusOK, b.visit(greeting).status)

		page = b.do(http.MethodPost, "/auth/logout", nil, http.Header{"Origin": {"https://app.example"}})
		require.Contains(t, page.text, "You are logged in as <strong>ada</strong>", "the issuer asks whether there, too")
		page.send(nil)
		require.Equal(t, http.StatusUnauthorized, b.visit(greeting).status)
		require.Contains(t, b.visit("/auth/login").text, `name="password"`, "nobody gets in without it")
	})
}

// TestAPersonLetsAProgramIn is told at a terminal, where a program has no
// browser (RFC 8628), and at the browser of whoever sits there.
func TestAPersonLetsAProgramIn(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, account.SetPassword(dir, "ada", "analytical engine"))
	everyWorld(t, func(t *testing.T, w *world) {
		w.settings(func(cfg *app.Config) { cfg.Security.IssuerDir, cfg.Security.PublicURL = dir, "https://app.example" })
		w.start("phrasebook-1", "greeter-1", "gateway-1")
		program, person := newBrowser(w, "https://app.example"), newBrowser(w, "https://app.example")
		var begun struct {
			Code string `json:"device_code"`
			User string `json:"user_code"`
			At   string `json:"verification_uri"`
		}
		answer := program.do(http.MethodPost, "/oauth2/device_authorization", url.Values{"client_id": {"app"}, "scope": {"greetings.read phrases.read"}}, nil)
		require.NoError(t, json.Unmarshal([]byte(answer.text), &begun), answer.text)
		require.Equal(t, "https://app.example/oauth2/device", begun.At)

		page := person.visit("/oauth2/device?user_code=" + begun.User)
		page = page.send(url.Values{"username": {"ada"}, "password": {"analytical engine"}})
		require.Contains(t, page.text, begun.User, "which the person compares")
		page.send(url.Values{"decision": {"allow"}})

		var got struct {
			Token string `json:"access_token"`
			Scope string
		}
		answer = program.do(http.MethodPost, "/oauth2/token", url.Values{
			"client_id": {"app"}, "grant_type": {account.DeviceGrant}, "device_code": {begun.Code},
		}, nil)
		require.NoError(t, json.Unmarshal([]byte(answer.text), &got), answer.text)
		require.Equal(t, "greetings.read phrases.read", got.Scope)
		show := http.Header{"Authorization": {"Bearer " + got.Token}}
		require.Contains(t, program.do(http.MethodGet, "/v1/greetings/Ada", nil, show).text, "Hello, Ada!")
		require.Equal(t, http.StatusForbidden, program.do(http.MethodPatch, "/v1/languages/en/phrases/greeting", nil, show).status, "it did not ask for that")
	})
}

// A browser goes to one site, which the gateways are, each in turn.
type browser struct {
	w      *world
	site   *url.URL
	client http.Client
}

func newBrowser(w *world, site string) *browser {
	b := &browser{w: w}
	var err error
	b.site, err = url.Parse(site)
	require.NoError(w.t, err)
	b.client.Jar, err = cookiejar.New(nil)
	require.NoError(w.t, err)
	turn := 0
	carrier := &http.Transport{DisableKeepAlives: true, DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		for set, err := range w.reg.Watch(ctx, "gateway") {
			if err == nil && len(set) > 0 {
				turn++
				return w.net.Dial(ctx, set[turn%len(set)].Addr)
			}
		}
		return nil, ctx.Err()
	}}
	b.client.Transport, b.client.Timeout = carrier, 20*time.Second
	return b
}

// A page is where a visit ended, redirects followed.
type page struct {
	b      *browser
	at     *url.URL
	status int
	text   string
}

func (b *browser) visit(path string) page { return b.do(http.MethodGet, path, nil, nil) }

func (b *browser) do(method, path string, form url.Values, header http.Header) page {
	b.w.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, b.site.String()+path, strings.NewReader(form.Encode()))
	require.NoError(b.w.t, err)
	if header != nil {
		req.Header = header
	}
	req.Header.Set("Accept", "text/html,*/*")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := b.client.Do(req)
	require.NoError(b.w.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(b.w.t, err)
	return page{b, res.Request.URL, res.StatusCode, string(text)}
}

var (
	action = regexp.MustCompile(`<form method="post" action="([^"]*)"`)
	hidden = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
)

// send fills in the page's form, and sends it.
func (p page) send(form url.Values) page {
	t := p.b.w.t
	t.Helper()
	to := action.FindStringSubmatch(p.text)
	require.NotNil(t, to, p.text)
	all := url.Values{}
	for _, field := range hidden.FindAllStringSubmatch(p.text, -1) {
		all.Set(field[1], html.UnescapeString(field[2]))
	}
	for name, values := range form {
		all[name] = values
	}
	return p.b.do(http.MethodPost, html.UnescapeString(to[1]), all, http.Header{"Origin": {p.b.site.String()}})
}
