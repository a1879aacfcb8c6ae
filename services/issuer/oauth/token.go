package oauth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"example.com/app/platform/errs"
	"example.com/app/services/issuer/account"
)

// token is the token endpoint (RFC 6749 section 3.2).
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	a, kind, err := s.exchange(r)
	if err != nil {
		s.sayRefusal(w, err)
		return
	}
	s.tokens.WithLabelValues(kind).Inc()
	sayJSON(w, http.StatusOK, a)
}

func (s *Server) exchange(r *http.Request) (*answer, string, error) {
	f, err := form(r)
	if err != nil {
		return nil, "", err
	}
	c, err := s.client(r, f)
	if err != nil {
		return nil, "", err
	}
	kind := f.Get("grant_type")
	grants := map[string]func(*account.Client, url.Values) (*answer, error){
		"client_credentials": s.byCredentials, "authorization_code": s.byCode, "refresh_token": s.byRefresh, account.DeviceGrant: s.byDevice,
	}
	give, ok := grants[kind]
	switch {
	case kind == "":
		return nil, "", refuse(invalidRequest, "grant_type is missing")
	case !ok:
		return nil, "", refuse(unsupportedGrantType, "grant_type %.60q is not known here", kind)
	case !c.May(kind):
		return nil, "", refuse(unauthorizedClient, "the client may not use %s", kind)
	}
	a, err := give(c, f)
	return a, kind, err
}

// byCredentials gives a client a token for itself (RFC 6749 section 4.4).
func (s *Server) byCredentials(c *account.Client, f url.Values) (*answer, error) {
	scopes, err := permitted(c, f.Get("scope"))
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(scopes, identity); i >= 0 {
		return nil, refuse(invalidScope, "%q is about a person, and none is here", scopes[i])
	}
	resources, err := s.targets(f)
	if err != nil {
		return nil, err
	}
	return s.mint(grant{client: c, Record: Record{Scopes: scopes, Resources: resources}}, "")
}

// byCode exchanges an authorization code (RFC 6749 section 4.1.3, RFC 7636
// section 4.6). A code that comes a second time was stolen, then or now: what it
// gave is revoked.
func (s *Server) byCode(c *account.Client, f url.Values) (*answer, error) {
	if f.Get("code") == "" || f.Get("code_verifier") == "" {
		return nil, refuse(invalidRequest, "want code and code_verifier")
	}
	var code Record
	key, replayed := hashed(f.Get("code")), refuse(invalidGrant, "the code was used before")
	if err := s.ready(Codes, key); err != nil {
		return nil, err
	}
	err := s.store.Edit(Codes, key, func(r *Record) error {
		code = *r
		switch {
		case r.Client != c.ID:
			return refuse(invalidGrant, "the code is another client's")
		case r.State == Used:
			return replayed
		case f.Get("redirect_uri") != r.Redirect:
			return refuse(invalidGrant, "redirect_uri is not the one of the authorization request")
		case !verifies(f.Get("code_verifier"), r.Challenge):
			return refuse(invalidGrant, "code_verifier does not fit the challenge")
		}
		r.State = Used
		r.Expires = s.cfg.Now().Add(s.cfg.Access) // a replay is noticed for as long as the tokens live
		return nil
	})
	if err != nil && err == error(replayed) { //nolint:errorlint // this very value
		s.cfg.Log.Warn("an authorization code came twice: its tokens are revoked", slog.String("client", c.ID))
		if err := s.disown(code.Family); err != nil {
			return nil, err
		}
		return nil, replayed
	}
	if errs.NotFound.Is(err) {
		return nil, refuse(invalidGrant, "the code is not known, or it expired")
	}
	if err != nil {
		return nil, err
	}
	return s.begin(c, code, f)
}

// begin gives the first tokens of a grant that a person made.
func (s *Server) begin(c *account.Client, r Record, f url.Values) (*answer, error) {
	user, err := s.person(r)
	if err != nil {
		return nil, err
	}
	g := grant{client: c, user: user, Record: r}
	if err := s.narrow(&g, f); err != nil {
		return nil, err
	}
	refresh := ""
	if c.May("refresh_token") {
		r.State, r.Generation, r.Expires = Approved, 1, s.cfg.Now().Add(s.cfg.Refresh)
		if err := s.store.Put(Families, r.Family, r); err != nil {
			return nil, err
		}
		refresh = s.refreshToken(r.Family, 1)
	}
	if s.revoked(r.Family) { // by a replay, meanwhile
		s.store.Delete(Families, r.Family)
		return nil, refuse(invalidGrant, "the grant was revoked")
	}
	return s.mint(g, refresh)
}

// person finds who made a grant or has a session: refused where they are gone, or
// have another password since.
func (s *Server) person(r Record) (*account.User, error) {
	user, err := s.cfg.Accounts.User(r.Subject)
	switch {
	case errs.NotFound.Is(err):
		return nil, refuse(invalidGrant, "the user is gone")
	case err != nil:
		return nil, err
	case !same(r.Login, hashed(user.Password)):
		return nil, refuse(invalidGrant, "the user has another password since")
	}
	return user, nil
}

// ready says whether the person of a record can be looked up at all: where they
// can't, at the moment, what can be used once must not be used up.
func (s *Server) ready(kind Kind, key string) error {
	r, ok := find(s.store, kind, key)
	if !ok {
		return nil
	}
	_, err := s.person(r)
	if refused := new(refusal); errors.As(err, &refused) {
		return nil
	}
	return err
}

// narrow lets a client ask for a token that may less than its grant (RFC 6749
// section 6, RFC 8707 section 2.2). What the client may no longer ask for at all
// falls out.
func (s *Server) narrow(g *grant, f url.Values) error {
	g.Scopes = slices.DeleteFunc(slices.Clone(g.Scopes), func(scope string) bool { return !slices.Contains(g.client.Scopes, scope) })
	if f.Get("grant_type") == "refresh_token" && f.Get("scope") != "" {
		asked := strings.Fields(f.Get("scope"))
		if slices.ContainsFunc(asked, func(scope string) bool { return !slices.Contains(g.Scopes, scope) }) {
			return refuse(invalidScope, "the scope is wider than the grant")
		}
		g.Scopes = asked
	}
	resources, err := s.targets(f)
	if err != nil {
		return err
	}
	if len(resources) == 0 {
		return nil
	}
	if len(g.Resources) > 0 && slices.ContainsFunc(resources, func(r string) bool { return !slices.Contains(g.Resources, r) }) {
		return refuse(invalidTarget, "the grant is for other resources")
	}
	g.Resources = resources
	return nil
}

// byRefresh exchanges a refresh token for the next (RFC 9700 section 4.14.2). One
// that comes a second time revokes the family: nobody can tell the thief from the
// client.
func (s *Server) byRefresh(c *account.Client, f url.Values) (*answer, error) {
	family, generation, ok := s.openRefresh(f.Get("refresh_token"))
	if !ok {
		return nil, refuse(invalidGrant, "the refresh token is not known")
	}
	old := refuse(invalidGrant, "the refresh token was used before")
	if err := s.ready(Families, family); err != nil {
		return nil, err
	}
	var g grant
	err := s.store.Edit(Families, family, func(r *Record) error {
		switch {
		case r.Client != c.ID:
			return refuse(invalidGrant, "the refresh token is another client's")
		case r.Generation != generation:
			return old
		}
		g = grant{client: c, Record: *r}
		if err := s.narrow(&g, f); err != nil {
			return err
		}
		r.Generation++
		return nil
	})
	switch {
	case err != nil && err == error(old): //nolint:errorlint // this very value
		s.cfg.Log.Warn("a refresh token came twice: its family is revoked", slog.String("client", c.ID))
		if err := s.disown(family); err != nil {
			return nil, err
		}
		return nil, old
	case errs.NotFound.Is(err):
		return nil, refuse(invalidGrant, "the refresh token was revoked, or it expired")
	case err != nil:
		return nil, err
	}
	if g.user, err = s.person(g.Record); err != nil {
		return nil, err
	}
	g.Nonce = "" // of the first ID token alone (OpenID Connect Core section 12.2)
	return s.mint(g, s.refreshToken(family, generation+1))
}

// byDevice is a device that asks whether the person has agreed (RFC 8628 section
// 3.5).
func (s *Server) byDevice(c *account.Client, f url.Values) (*answer, error) {
	now := s.cfg.Now()
	var found Record
	key, refused := hashed(f.Get("device_code")), error(nil)
	if err := s.ready(Devices, key); err != nil {
		return nil, err
	}
	err := s.store.Edit(Devices, key, func(r *Record) error {
		if r.Client != c.ID {
			return refuse(invalidGrant, "the device code is another client's")
		}
		early := now.Sub(r.Polled) < r.Interval
		r.Polled, found = now, *r
		switch {
		case !now.Before(r.Deadline):
			refused = refuse(expiredToken, "the device code is too old")
		case early:
			r.Interval += 5 * time.Second
			refused = refuse(slowDown, "wait %s from now on", r.Interval)
		case r.State == Pending:
			refused = refuse(authorizationPending, "the person has not decided yet")
		case r.State == Refused:
			refused = refuse(accessDenied, "the person said no")
		case r.State == Used:
			refused = refuse(invalidGrant, "the device code was used before")
		default:
			r.State = Used
		}
		return nil
	})
	switch {
	case errs.NotFound.Is(err):
		return nil, refuse(invalidGrant, "the device code is not known")
	case err != nil:
		return nil, err
	case refused != nil:
		return nil, refused
	}
	return s.begin(c, found, f)
}

// verifies checks a PKCE verifier (RFC 7636 sections 4.1 and 4.6).
func verifies(verifier, challenge string) bool {
	sum := sha256.Sum256([]byte(verifier))
	return len(verifier) >= 43 && len(verifier) <= 128 && same(base64.RawURLEncoding.EncodeToString(sum[:]), challenge)
}

// same compares in a time that does not depend on where the texts differ.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
