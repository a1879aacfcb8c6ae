package command

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/oauth2"

	"example.com/app/platform/errs"
)

// Token is `app token`: an access token for calls from the shell.
func Token() *cobra.Command {
	l := &login{client: newLoginClient()}
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Get an access token and print it",
		Long: `Get an access token from the issuer and print it, alone, so that
TOKEN=$(app token) holds it.

Without --device the program asks in its own name (OAuth2 client credentials):
as the client "demo", whose secret the issuer keeps in its directory on this
machine, or as --client-id with the secret in --client-secret-file. With --device
a person allows it in a browser, on this machine or another: the address and
the code to type are printed on stderr.

The token is kept in a file that nobody else may read, under the user's cache
directory, and printed again until 30 seconds before it expires; then it is
refreshed, where the issuer allows that, or asked for anew.`,
		Example: `  TOKEN=$(app token)
  curl -H "Authorization: Bearer $TOKEN" localhost:8080/v1/greetings/Ada
  app token --device --scope="openid greetings.read"
  app token --issuer=https://id.example.com --client-id=ci --client-secret-file=ci.secret
  app token --show`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := FromEnv(cmd, os.LookupEnv); err != nil {
				return err
			}
			l.localSecret = cmd.Flags().Changed("issuer-dir")
			l.in, l.out, l.err = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
			if dir, err := os.UserCacheDir(); err == nil { // $XDG_CACHE_HOME, where there is one
				l.cache = filepath.Join(dir, "app", "tokens")
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			return l.run(ctx)
		},
	}
	l.flags(cmd.Flags())
	return cmd
}

// login is what `app token` was asked for.
type login struct {
	issuer, clientID, secretFile, issuerDir string
	scopes                                  []string
	resource, audience                      string
	device, fresh, show, allowHTTP          bool
	patience                                time.Duration

	localSecret bool   // --issuer-dir was given: the secret in it is meant for that issuer
	cache       string // the directory of kept tokens; empty: none is kept
	client      *http.Client
	in          io.Reader
	out, err    io.Writer
}

func (l *login) flags(f *pflag.FlagSet) {
	f.StringVar(&l.issuer, "issuer", "http://localhost:8080", "URL of the issuer, as it calls itself")
	f.BoolVar(&l.device, "device", false, "let a person allow it in a browser, on this or another device")
	f.StringVar(&l.clientID, "client-id", "", `OAuth2 client to be; default: demo, with --device app`)
	f.StringVar(&l.secretFile, "client-secret-file", "", "file that holds the client's secret, - is stdin; default: CLIENT.secret in --issuer-dir")
	f.StringVar(&l.issuerDir, "issuer-dir", defaultIssuerDir(), "where an issuer on this machine keeps the secret of its development client")
	f.StringSliceVar(&l.scopes, "scope", nil, "what the token shall allow, as in greetings.read; default: what the issuer gives the client (may be repeated)")
	f.StringVar(&l.resource, "resource", "", "URI of the service that the token is for, where the issuer wants one (RFC 8707)")
	f.StringVar(&l.audience, "audience", "", "the same for issuers that have a parameter of that name instead")
	f.BoolVar(&l.fresh, "fresh", false, "ask for a new token, whatever is kept")
	f.BoolVar(&l.show, "show", false, "print what the token says of itself in place of the token; nothing is verified")
	f.BoolVar(&l.allowHTTP, "allow-http", false, "send secrets to an issuer on another machine without TLS")
	f.DurationVar(&l.patience, "timeout", 10*time.Second, "how long one answer of the issuer may take")
}

// newLoginClient is a client for the issuer alone: it hands no secret on to
// where an answer points.
func newLoginClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// run prints the token that is kept, or one that the issuer gives.
func (l *login) run(ctx context.Context) error {
	if err := l.check(); err != nil {
		return err
	}
	l.client.Timeout = l.patience
	kept, err := l.open()
	if err != nil {
		return err
	}
	defer kept.close()
	token := kept.token
	if l.fresh || token == nil || !lasts(token) {
		if l.fresh {
			token = nil
		}
		if token, err = l.get(ctx, token); err != nil {
			return l.advise(err)
		}
		if strings.Trim(token.AccessToken, b64token+"=") != "" || token.Type() != "Bearer" {
			return errs.Unsupported.New("get token from %s: it is not a bearer token", l.issuer)
		}
		if err := kept.write(token); err != nil {
			_, _ = fmt.Fprintf(l.err, "app: the token is not kept: %v\n", err)
		}
	}
	if l.show {
		return l.describe(token)
	}
	_, err = fmt.Fprintln(l.out, token.AccessToken)
	return err
}

// check completes what was asked for, or says what is wrong with it.
func (l *login) check() error {
	l.issuer = strings.TrimSuffix(l.issuer, "/")
	u, err := url.Parse(l.issuer)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return usage("--issuer %q: want a URL, as in https://id.example.com", l.issuer)
	}
	if err := l.secure(l.issuer); err != nil {
		return err
	}
	if l.patience <= 0 {
		return usage("--timeout must be above 0s")
	}
	var scopes []string
	for _, s := range l.scopes {
		scopes = append(scopes, strings.Fields(s)...)
	}
	l.scopes = scopes
	if l.device {
		if l.clientID == "" {
			l.clientID = "app"
		}
		return nil
	}
	if l.clientID == "" {
		l.clientID = "demo"
	}
	if l.secretFile != "" {
		return nil
	}
	if l.issuerDir == "" || !l.localSecret && !local(u.Hostname()) {
		// The secret of the issuer on this machine is nobody else's business.
		return &UsageError{&HintError{
			errs.Invalid.New("which secret? --client-secret-file is missing"),
			"give --client-id and --client-secret-file, or let a person allow it: app token --device",
		}}
	}
	if l.clientID != filepath.Base(l.clientID) || l.clientID == ".." {
		return usage("--client-id %q: its secret has no place in --issuer-dir, give --client-secret-file", l.clientID)
	}
	l.secretFile = filepath.Join(l.issuerDir, l.clientID+".secret")
	return nil
}

// secure refuses to send secrets in the clear to another machine (RFC 6749
// §3.2, RFC 8252 §7.3 for loopback).
func (l *login) secure(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return errs.Invalid.New("the issuer %s names %q as an endpoint, which is no URL", l.issuer, endpoint)
	}
	if u.Scheme == "https" || u.Scheme == "http" && (l.allowHTTP || local(u.Hostname())) {
		return nil
	}
	return &HintError{
		errs.Invalid.New("%s would see secrets, and so would everybody on the way: it is not https", endpoint),
		"use https, or --allow-http where the network is yours",
	}
}

// lasts says that a token can be used for a while.
func lasts(t *oauth2.Token) bool { return time.Until(t.Expiry) > 30*time.Second }

// describe prints what a token says of itself.
func (l *login) describe(token *oauth2.Token) error {
	parts := strings.Split(token.AccessToken, ".")
	if len(parts) != 3 {
		return errs.Unsupported.New("the token is not a JWT: it says nothing of itself, ask the issuer (RFC 7662)")
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return errs.Unsupported.New("read the token's claims: %w", err)
	}
	var claims map[string]any
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	if err := d.Decode(&claims); err != nil {
		return errs.Unsupported.New("read the token's claims: %w", err)
	}
	pretty, err := json.MarshalIndent(claims, "", "  ")
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(l.err, "not verified; expires in %v\n", time.Until(token.Expiry).Round(time.Second))
	_, err = fmt.Fprintf(l.out, "%s\n", pretty)
	return err
}

// advise turns an error of the protocol into one for people. What the issuer
// wrote is quoted, since it comes from the network; what it wrote without the
// form of RFC 6749 §5.2 is left out.
func (l *login) advise(err error) error {
	var refused *oauth2.RetrieveError
	var broken *url.Error
	var ours *errs.Error
	switch {
	case errors.As(err, &ours):
		return err
	case errors.As(err, &refused) && refused.ErrorCode == "":
		return &HintError{errs.Unavailable.New("get token from %s: it answered %s", l.issuer, refused.Response.Status), "is that an OAuth2 issuer, and is it well?"}
	case errors.As(err, &refused):
		text := fmt.Sprintf("%q", refused.ErrorCode)
		if refused.ErrorDescription != "" {
			text += fmt.Sprintf(": %.200q", refused.ErrorDescription)
		}
		err := errs.Unauthenticated.New("get token from %s: %s", l.issuer, text)
		if hint := l.hint(refused.ErrorCode); hint != "" {
			return &HintError{err, hint}
		}
		return err
	case errors.Is(err, context.Canceled):
		return errs.Cancelled.New("get token from %s: stopped", l.issuer)
	case errors.As(err, &broken):
		hint := "is --issuer right, and can it be reached from here?"
		if errors.Is(err, syscall.ECONNREFUSED) {
			hint = "nothing listens there: app serve --role=all runs an issuer; --issuer=URL names another"
		}
		return &HintError{errs.Unavailable.New("get token from %s: %w", l.issuer, broken.Err), hint}
	}
	return errs.Unavailable.New("get token from %s: %w", l.issuer, err)
}

// hint is what to do about an error code of RFC 6749 §5.2 or RFC 8628 §3.5.
func (l *login) hint(code string) string {
	switch code {
	case "invalid_client":
		if l.device {
			return fmt.Sprintf("does the issuer know a client %q?", l.clientID)
		}
		return fmt.Sprintf("does the issuer know a client %q, and is the secret in %s that of this issuer?", l.clientID, l.secretFile)
	case "invalid_scope":
		return "the client may not ask for all of --scope; without it the issuer gives what the client may have"
	case "unauthorized_client", "unsupported_grant_type": //nolint:misspell // RFC 6749 section 5.2 spells it so
		if l.device {
			return fmt.Sprintf("the issuer does not let %q use the device flow; --client-id names another client", l.clientID)
		}
		return fmt.Sprintf("the issuer does not let %q ask in its own name; a person can allow it: app token --device", l.clientID)
	case "invalid_target":
		return "--resource or --audience names no service that the issuer knows"
	case "expired_token":
		return "nobody allowed it in time: run it again"
	case "access_denied":
		return "it was refused in the browser"
	}
	return ""
}
