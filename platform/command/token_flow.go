package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"example.com/app/platform/errs"
)

// provider is what an issuer tells of itself (OpenID Connect Discovery 1.0 §3,
// RFC 8414 §2).
type provider struct {
	Issuer      string   `json:"issuer"`
	Token       string   `json:"token_endpoint"`
	Device      string   `json:"device_authorization_endpoint"`
	AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
}

// get asks the issuer for a token: by the refresh token of an old one, where
// there is one that it still takes, else anew.
func (l *login) get(ctx context.Context, old *oauth2.Token) (*oauth2.Token, error) {
	p, err := l.discover(ctx)
	if err != nil {
		return nil, err
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, l.client)
	cfg := &oauth2.Config{
		ClientID: l.clientID, Scopes: l.scopes,
		Endpoint: oauth2.Endpoint{TokenURL: p.Token, DeviceAuthURL: p.Device, AuthStyle: oauth2.AuthStyleInParams},
	}
	if l.secretFile != "" {
		secret, err := ReadSecret(l.in, l.secretFile)
		if err != nil {
			return nil, err
		}
		cfg.ClientSecret, cfg.Endpoint.AuthStyle = string(secret), p.style()
	}
	if old != nil && old.RefreshToken != "" {
		token, err := cfg.TokenSource(ctx, &oauth2.Token{RefreshToken: old.RefreshToken}).Token()
		var refused *oauth2.RetrieveError
		if err == nil || !errors.As(err, &refused) || refused.ErrorCode != "invalid_grant" {
			return token, err
		}
	}
	if l.device {
		return l.byDevice(ctx, cfg)
	}
	own := clientcredentials.Config{
		ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret, TokenURL: p.Token, Scopes: l.scopes,
		AuthStyle: cfg.Endpoint.AuthStyle, EndpointParams: url.Values{},
	}
	if l.resource != "" {
		own.EndpointParams.Set("resource", l.resource)
	}
	if l.audience != "" {
		own.EndpointParams.Set("audience", l.audience)
	}
	return own.Token(ctx)
}

// style is how the issuer wants the secret (RFC 8414 §2: Basic, unless it says
// otherwise).
func (p provider) style() oauth2.AuthStyle {
	if len(p.AuthMethods) > 0 && !slices.Contains(p.AuthMethods, "client_secret_basic") {
		return oauth2.AuthStyleInParams
	}
	return oauth2.AuthStyleInHeader
}

// byDevice lets a person allow it elsewhere (RFC 8628), and asks until they
// have. A question that was lost on the way is asked again.
func (l *login) byDevice(ctx context.Context, cfg *oauth2.Config) (*oauth2.Token, error) {
	if cfg.Endpoint.DeviceAuthURL == "" {
		return nil, errs.Unsupported.New("get token from %s: it has no device flow", l.issuer)
	}
	var more []oauth2.AuthCodeOption
	if l.resource != "" {
		more = append(more, oauth2.SetAuthURLParam("resource", l.resource))
	}
	if l.audience != "" {
		more = append(more, oauth2.SetAuthURLParam("audience", l.audience))
	}
	device, err := cfg.DeviceAuth(ctx, more...)
	if err != nil {
		return nil, err
	}
	page, err := url.Parse(device.VerificationURI)
	if err != nil || page.Scheme != "https" && page.Scheme != "http" || !printable(device.UserCode) {
		return nil, errs.Unsupported.New("get token from %s: it names no page where a person could allow it", l.issuer)
	}
	_, _ = fmt.Fprintf(l.err, "Open %s\nand type %s\n", page, device.UserCode)
	for {
		token, err := cfg.DeviceAccessToken(ctx, device)
		var broken *url.Error
		if lost := errors.As(err, &broken) || status(err) >= http.StatusInternalServerError; !lost || ctx.Err() != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				return nil, &HintError{errs.Unauthenticated.New("get token from %s: the code expired", l.issuer), l.hint("expired_token")}
			}
			return token, err
		}
		device.Interval = max(5, 2*device.Interval) // RFC 8628 §3.5
		if !device.Expiry.IsZero() && time.Until(device.Expiry) < time.Duration(device.Interval)*time.Second {
			return nil, err
		}
	}
}

// status is that of an answer which was no token; 0: there was no answer.
func status(err error) int {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.ErrorCode == "" {
		return refused.Response.StatusCode
	}
	return 0
}

// printable tells of a text that a terminal shows as it is.
func printable(text string) bool {
	return text != "" && len(text) <= 64 && strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) < 0
}

// discover asks the issuer where its endpoints are.
func (l *login) discover(ctx context.Context) (provider, error) {
	u, err := url.Parse(l.issuer)
	if err != nil {
		return provider{}, usage("--issuer %q: %w", l.issuer, err)
	}
	own := *u
	own.Path = "/.well-known/oauth-authorization-server" + u.Path // RFC 8414 §3.1
	p, err := l.metadata(ctx, l.issuer+"/.well-known/openid-configuration")
	if errs.NotFound.Is(err) {
		p, err = l.metadata(ctx, own.String())
	}
	if err != nil {
		return provider{}, err
	}
	if p.Issuer != l.issuer && p.Issuer != l.issuer+"/" { // RFC 8414 §3.3
		err := errs.Invalid.New("the issuer at %s calls itself %q", l.issuer, p.Issuer)
		if other, bad := url.Parse(p.Issuer); bad != nil || other.Host == "" || !printable(other.Host) {
			return provider{}, err
		}
		return provider{}, &HintError{err, fmt.Sprintf("tokens of it say so too: use --issuer=%q, if that is who you mean", p.Issuer)}
	}
	for _, endpoint := range []string{p.Token, p.Device} {
		if endpoint == "" && endpoint == p.Device {
			continue
		}
		if err := l.secure(endpoint); err != nil {
			return provider{}, err
		}
	}
	return p, nil
}

// metadata reads one document.
func (l *login) metadata(ctx context.Context, from string) (p provider, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return p, err
	}
	req.Header.Set("Accept", "application/json")
	res, err := l.client.Do(req)
	if err != nil {
		return p, err
	}
	defer func() { _ = res.Body.Close() }()
	switch {
	case res.StatusCode == http.StatusNotFound:
		return p, &HintError{errs.NotFound.New("get %s: %s", from, res.Status), "is that an issuer? --issuer is its URL, without a path unless it has one"}
	case res.StatusCode != http.StatusOK:
		return p, errs.Unavailable.New("get %s: %s", from, res.Status)
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&p); err != nil {
		return p, errs.Unavailable.New("get %s: it is no JSON object of less than 1 MiB", from)
	}
	return p, nil
}

// local tells of a host that it is this machine.
func local(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761 §6.3
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
