package token

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"example.com/app/platform/errs"
)

const (
	maxDocument  = 1 << 20 // bytes of what an issuer may have us read
	maxRedirects = 3
)

// Discover returns what fetches the keys of an issuer, given as its identifier:
// a URL, https unless it is on this machine or inside the system. It reads the
// metadata by OpenID Connect Discovery 1.0 §4, or by RFC 8414 §3 where there is
// none, and then the document that jwks_uri names.
//
// The metadata must be that issuer's own, to the letter (RFC 8414 §3.3), and its
// keys must come over https, or from the issuer's own host. No redirect leads to
// another host. Errors are of kind Unavailable, those of the identifier Invalid;
// they name what was asked for.
func Discover(client *http.Client, issuer string) func(context.Context) ([]byte, error) {
	c := *client
	c.Jar = nil
	c.CheckRedirect = stay
	return func(ctx context.Context) ([]byte, error) {
		base, err := url.Parse(issuer)
		if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
			return nil, errs.Invalid.New("the issuer is not an http or https URL without query and fragment")
		}
		address, err := discover(ctx, &c, issuer, base)
		if err != nil {
			return nil, err
		}
		document, _, err := get(ctx, &c, address)
		return document, err
	}
}

// discover finds the address of the issuer's keys.
func discover(ctx context.Context, c *http.Client, issuer string, base *url.URL) (string, error) {
	path := strings.TrimSuffix(base.EscapedPath(), "/")
	root := base.Scheme + "://" + base.Host
	document, code, err := get(ctx, c, root+path+"/.well-known/openid-configuration")
	if code == http.StatusNotFound {
		document, _, err = get(ctx, c, root+"/.well-known/oauth-authorization-server"+path)
	}
	if err != nil {
		return "", err
	}
	var metadata struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if len(document) == 0 || object(document, &metadata) != nil {
		return "", errs.Unavailable.New("the metadata of the issuer %s is not a JSON object", issuer)
	}
	if metadata.Issuer != issuer {
		return "", errs.Unavailable.New("the metadata at %s is that of another issuer", issuer)
	}
	keys, err := url.Parse(metadata.Keys)
	if err != nil || keys.Host == "" || keys.User != nil || keys.Scheme != "https" && (keys.Scheme != base.Scheme || keys.Host != base.Host) {
		return "", errs.Unavailable.New("the jwks_uri of the issuer %s is neither https nor its own host's", issuer)
	}
	return keys.String(), nil
}

// get reads a document and the status it came with; 0: there was no answer.
func get(ctx context.Context, c *http.Client, address string) ([]byte, int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, 0, errs.Unavailable.New("read %s: %w", address, err)
	}
	r.Header.Set("Accept", "application/json")
	answer, err := c.Do(r)
	if err != nil {
		return nil, 0, errs.Unavailable.New("read %s: %w", address, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, answer.StatusCode, errs.Unavailable.New("read %s: %s", address, answer.Status)
	}
	document, err := io.ReadAll(io.LimitReader(answer.Body, maxDocument+1))
	if err != nil {
		return nil, answer.StatusCode, errs.Unavailable.New("read %s: %w", address, err)
	}
	if len(document) > maxDocument {
		return nil, answer.StatusCode, errs.Unavailable.New("read %s: longer than %d bytes", address, maxDocument)
	}
	return document, answer.StatusCode, nil
}

// stay refuses redirects that leave the host or its scheme.
func stay(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errors.New("too many redirects")
	}
	if r.URL.Host != via[0].URL.Host || r.URL.Scheme != via[0].URL.Scheme {
		return fmt.Errorf("the redirect to %s is not followed", r.URL.Host)
	}
	return nil
}
