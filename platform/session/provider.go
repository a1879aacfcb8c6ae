package session

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"example.com/app/platform/auth"
	"example.com/app/platform/errs"
)

const (
	maxDocument  = 1 << 20          // bytes of what an issuer may have us read
	metadataLife = time.Hour        // until the metadata is read again
	keysLife     = 10 * time.Minute // until the keys are read again: what one that was taken back may live on
	fetchEvery   = time.Second      // at most, of one document that is not there
	providerWait = 10 * time.Second // for one answer
)

// A provider is the OpenID provider that logs people in. What it says of itself
// is read when somebody needs it, by one at a time.
type provider struct {
	cfg    Config
	client http.Client
	base   *url.URL

	turn      chan struct{} // holds one token: who has it may read the metadata, and change what follows
	about     *metadata
	aboutRead time.Time
	aboutErr  error

	keysTurn chan struct{} // likewise
	keys     keySet
	keysRead time.Time
	keysErr  error
}

// metadata is what is needed of OpenID Connect Discovery 1.0 §3, RFC 8414 and
// RFC 9207.
type metadata struct {
	Issuer     string   `json:"issuer"`
	Authorize  string   `json:"authorization_endpoint"`
	Token      string   `json:"token_endpoint"`
	Revoke     string   `json:"revocation_endpoint"`
	Logout     string   `json:"end_session_endpoint"`
	Keys       string   `json:"jwks_uri"`
	SaysIssuer bool     `json:"authorization_response_iss_parameter_supported"`
	Methods    []string `json:"token_endpoint_auth_methods_supported"`
}

// A grant is what the token endpoint gives (RFC 6749 §5.1).
type grant struct {
	Access  string  `json:"access_token"`
	Type    string  `json:"token_type"`
	Seconds float64 `json:"expires_in"`
	Refresh string  `json:"refresh_token"`
	ID      string  `json:"id_token"`
	Scope   string  `json:"scope"`
}

// lifetime is how long the access token lasts. It is not ours to read, so what
// the issuer does not say is taken to be short.
func (g *grant) lifetime() time.Duration {
	if g.Seconds <= 0 {
		return 5 * time.Minute
	}
	return time.Duration(min(g.Seconds, (24*time.Hour).Seconds())) * time.Second
}

func (g *grant) scopes() []string { return strings.Fields(g.Scope) }

func newProvider(cfg Config) (*provider, error) {
	base, err := url.Parse(cfg.Issuer)
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, errs.Invalid.New("sessions: issuer %q: want an http or https URL without query and fragment", cfg.Issuer)
	}
	p := &provider{cfg: cfg, client: *cfg.Client, base: base, turn: make(chan struct{}, 1), keysTurn: make(chan struct{}, 1)}
	p.client.Jar = nil
	p.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	p.turn <- struct{}{}
	p.keysTurn <- struct{}{}
	return p, nil
}

// take waits for the token of a turn, which the caller gives back.
func take(ctx context.Context, turn <-chan struct{}) error {
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		return away(ctx.Err())
	}
}

func away(err error) error {
	return errs.Unavailable.New("the login service is not available: %w", err).Because("ISSUER_UNAVAILABLE")
}

// metadata is what the provider says of itself.
func (p *provider) metadata(ctx context.Context) (*metadata, error) {
	if err := take(ctx, p.turn); err != nil {
		return nil, err
	}
	defer func() { p.turn <- struct{}{} }()
	now := p.cfg.Now()
	if p.about != nil && now.Sub(p.aboutRead) < metadataLife {
		return p.about, nil
	}
	if p.aboutErr != nil && now.Sub(p.aboutRead) < fetchEvery {
		return nil, p.aboutErr
	}
	about, err := p.discover(context.WithoutCancel(ctx)) // others wait for it
	p.aboutRead, p.aboutErr = p.cfg.Now(), err           // those who wait shall not each find out anew
	if err == nil {
		p.about = about
	}
	if p.about != nil {
		return p.about, nil // the last good one
	}
	return nil, err
}

// discover reads the metadata. It must be that issuer's own, to the letter
// (Discovery §4.3), and lead to it or to https.
func (p *provider) discover(ctx context.Context) (*metadata, error) {
	m := new(metadata)
	if err := p.get(ctx, strings.TrimSuffix(p.cfg.Issuer, "/")+"/.well-known/openid-configuration", m); err != nil {
		return nil, err
	}
	if m.Issuer != p.cfg.Issuer {
		return nil, away(errors.New("its metadata is another issuer's"))
	}
	addresses := []string{m.Authorize, m.Token, m.Keys}
	for _, address := range []string{m.Revoke, m.Logout} {
		if address != "" {
			addresses = append(addresses, address)
		}
	}
	for _, address := range addresses {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != p.base.Scheme || u.Host != p.base.Host) {
			return nil, away(errors.New("its metadata names an address that is neither https nor its own host's"))
		}
	}
	return m, nil
}

// get reads a JSON document.
func (p *provider) get(ctx context.Context, address string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return away(err)
	}
	code, body, err := p.do(r)
	if err != nil {
		return err
	}
	if code != http.StatusOK || json.Unmarshal(body, into) != nil {
		return away(errors.New("it answered " + http.StatusText(code) + " where a document was asked for"))
	}
	return nil
}

// do sends r and reads the answer, within bounds.
func (p *provider) do(r *http.Request) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(r.Context(), providerWait)
	defer cancel()
	r = r.WithContext(ctx)
	r.Header.Set("Accept", "application/json")
	res, err := p.client.Do(r)
	if err != nil {
		return 0, nil, away(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	if err != nil {
		return 0, nil, away(err)
	}
	if len(body) > maxDocument {
		return 0, nil, away(errors.New("its answer is too long"))
	}
	return res.StatusCode, body, nil
}

// redeem changes a code for tokens (RFC 6749 §4.1.3, RFC 7636 §4.5).
func (p *provider) redeem(ctx context.Context, code, verifier string) (*grant, error) {
	return p.token(ctx, url.Values{
		"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {p.cfg.RedirectURL}, "code_verifier": {verifier},
	})
}

// refresh changes a refresh token for new tokens (RFC 6749 §6).
func (p *provider) refresh(ctx context.Context, token string) (*grant, error) {
	return p.token(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

// token asks the token endpoint. The error is of kind Unauthenticated where the
// issuer says that the grant is not good, and Unavailable for all else.
func (p *provider) token(ctx context.Context, form url.Values) (*grant, error) {
	m, err := p.metadata(ctx)
	if err != nil {
		return nil, err
	}
	if p.cfg.Resource != "" {
		form.Set("resource", p.cfg.Resource)
	}
	code, body, err := p.post(ctx, m, m.Token, form)
	if err != nil {
		return nil, err
	}
	if code == http.StatusBadRequest || code == http.StatusUnauthorized || code == http.StatusForbidden {
		var refusal struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(body, &refusal) == nil && refusal.Error == "invalid_grant" {
			return nil, errs.Unauthenticated.New("the login service does not accept the grant").Because("GRANT_REFUSED")
		}
	}
	got := new(grant)
	if code != http.StatusOK || json.Unmarshal(body, got) != nil {
		return nil, away(errors.New("its token endpoint answered " + http.StatusText(code)))
	}
	if !strings.EqualFold(got.Type, "Bearer") {
		return nil, away(errors.New("it gave a token that is not of type Bearer"))
	}
	if _, err := auth.Bearer([]string{"Bearer " + got.Access}); err != nil {
		return nil, away(err)
	}
	return got, nil
}

// revoke takes back a refresh token (RFC 7009), where the issuer can.
func (p *provider) revoke(ctx context.Context, token string) error {
	m, err := p.metadata(ctx)
	if err != nil || m.Revoke == "" || token == "" {
		return err
	}
	code, _, err := p.post(ctx, m, m.Revoke, url.Values{"token": {token}, "token_type_hint": {"refresh_token"}})
	if err == nil && code != http.StatusOK {
		err = away(errors.New("its revocation endpoint answered " + http.StatusText(code)))
	}
	return err
}

// farewell is the issuer's page where a person logs out there too, and comes back
// from to the page of that address (OpenID Connect RP-Initiated Logout 1.0 §2);
// empty: there is none.
func (p *provider) farewell(ctx context.Context, back string) string {
	m, err := p.metadata(ctx)
	if err != nil || m.Logout == "" {
		return ""
	}
	to, err := url.Parse(m.Logout)
	if err != nil {
		return ""
	}
	q := to.Query()
	q.Set("client_id", p.cfg.ClientID)
	q.Set("post_logout_redirect_uri", back)
	to.RawQuery = q.Encode()
	return to.String()
}

// post sends a form as our client (RFC 6749 §2.3.1), by HTTP Basic where the
// issuer takes that, as it does unless it says otherwise.
func (p *provider) post(ctx context.Context, m *metadata, address string, form url.Values) (int, []byte, error) {
	id, secret := p.cfg.ClientID, string(p.cfg.ClientSecret)
	basic := secret != "" && (len(m.Methods) == 0 || slices.Contains(m.Methods, "client_secret_basic"))
	if !basic {
		form.Set("client_id", id)
		if secret != "" {
			form.Set("client_secret", secret)
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, away(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if basic {
		r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	}
	return p.do(r)
}
