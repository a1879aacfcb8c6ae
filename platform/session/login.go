package session

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"example.com/app/platform/edge/canonical"
	"example.com/app/platform/errs"
	"example.com/app/platform/transcode"
)

const (
	loginWait = 10 * time.Minute // between the two halves of a login
	maxLogins = 4                // that one browser has begun and not ended
	maxReturn = 2048             // bytes of an address to go back to
)

// A login is what is kept in the browser while somebody is at the issuer.
type login struct {
	State    string    `json:"st"`
	Nonce    string    `json:"no"`
	Verifier string    `json:"cv"` // of PKCE
	Return   string    `json:"rt"` // where the person came from
	Until    time.Time `json:"exp"`
}

// own answers the sessions' own pages.
func (s *Sessions) own(w http.ResponseWriter, r *http.Request) {
	var allow []string
	var serve func(http.ResponseWriter, *http.Request) error
	switch strings.TrimPrefix(r.URL.Path, prefix) {
	case "login":
		allow, serve = []string{http.MethodGet}, s.login
	case "callback":
		allow, serve = []string{http.MethodGet}, s.callback
	case "logout":
		allow, serve = []string{http.MethodPost}, s.logout
	case "me":
		allow, serve = []string{http.MethodGet, http.MethodHead}, s.me
	default:
		transcode.WriteError(w, r, errs.NotFound.New("nothing is served under this path").Because("NO_ROUTE"))
		return
	}
	if !slices.Contains(allow, r.Method) {
		transcode.NotAllowed(w, r, allow...)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Add("Vary", "Cookie, Accept")
	if err := serve(w, r); err != nil {
		s.fail(w, r, err)
	}
}

// login sends the browser to the issuer (OpenID Connect Core 1.0 §3.1.2.1).
func (s *Sessions) login(w http.ResponseWriter, r *http.Request) error {
	l := login{State: rand.Text(), Nonce: rand.Text(), Verifier: rand.Text() + rand.Text(), Return: "/", Until: s.cfg.Now().Add(loginWait)}
	if wanted := r.URL.Query()["return_to"]; len(wanted) > 1 {
		return errs.Invalid.New("return_to is there more than once").Because("BAD_RETURN")
	} else if len(wanted) == 1 {
		if !local(wanted[0]) {
			return errs.Invalid.New("return_to is not a path on this host").Because("BAD_RETURN")
		}
		l.Return = wanted[0]
	}
	m, err := s.provider.metadata(r.Context())
	if err != nil {
		return err
	}
	to, err := url.Parse(m.Authorize)
	if err != nil {
		return away(err)
	}
	sealed, err := s.seal.close(sealedLogin, l)
	if err != nil {
		return err
	}
	s.forgetLogins(w, r)
	set(w, loginCookie+l.State[:8], sealed, loginWait)
	challenge := sha256.Sum256([]byte(l.Verifier))
	query := to.Query()
	for key, value := range map[string]string{
		"response_type": "code", "client_id": s.cfg.ClientID, "redirect_uri": s.cfg.RedirectURL,
		"scope": s.scope(), "state": l.State, "nonce": l.Nonce,
		"code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:]), "code_challenge_method": "S256",
	} {
		query.Set(key, value)
	}
	if s.cfg.Resource != "" {
		query.Set("resource", s.cfg.Resource)
	}
	to.RawQuery = query.Encode()
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
	return nil
}

// scope is what is asked for.
func (s *Sessions) scope() string {
	scopes := []string{"openid"}
	for _, scope := range s.cfg.Scopes {
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return strings.Join(scopes, " ")
}

// local says whether an address leads to a page of this host, to every browser.
// They take "//host", "/\host" and "/<tab>/host" for another host.
func local(address string) bool {
	if len(address) > maxReturn || !strings.HasPrefix(address, "/") || strings.HasPrefix(address, prefix) ||
		strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }) {
		return false
	}
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil && u.Opaque == "" && canonical.CheckURL(u) == nil
}

// forgetLogins drops logins that were begun, where there are too many.
func (s *Sessions) forgetLogins(w http.ResponseWriter, r *http.Request) {
	var begun []string
	for _, c := range r.Cookies() {
		if strings.HasPrefix(c.Name, loginCookie) {
			begun = append(begun, c.Name)
		}
	}
	for len(begun) >= maxLogins {
		set(w, begun[0], "", -1)
		begun = begun[1:]
	}
}

// callback is where the issuer sends the browser back (RFC 6749 §4.1.2).
func (s *Sessions) callback(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	for _, name := range []string{"state", "code", "iss", "error"} {
		if len(query[name]) > 1 {
			return errs.Invalid.New("the answer of the login service has %s more than once", name).Because("BAD_LOGIN")
		}
	}
	l, err := s.begun(w, r, query.Get("state"))
	if err != nil {
		return err
	}
	m, err := s.provider.metadata(r.Context())
	if err != nil {
		return err
	}
	iss, says := query["iss"]
	if m.SaysIssuer && !says || says && iss[0] != s.cfg.Issuer { // RFC 9207 §2.4
		return errs.Denied.New("another login service answered than the one that was asked").Because("LOGIN_ISSUER")
	}
	if refused := query.Get("error"); refused == "access_denied" {
		return errs.Denied.New("the login was refused").Because("LOGIN_REFUSED")
	} else if refused != "" || query.Get("code") == "" {
		return errs.Unavailable.New("the login service answered without a code: %.64q", refused).Because("LOGIN_FAILED").Status(http.StatusBadGateway)
	}
	got, err := s.provider.redeem(r.Context(), query.Get("code"), l.Verifier)
	if err != nil {
		return err
	}
	who, err := s.provider.verify(r.Context(), got.ID, l.Nonce)
	if err != nil {
		return err
	}
	now := s.cfg.Now()
	st := &state{ID: rand.Text(), Subject: who.Subject, Name: who.Name, Scopes: strings.Fields(s.scope()), Began: now, Seen: now}
	if st.Name == "" {
		st.Name = who.Preferred
	}
	s.take(st, got)
	if err := s.give(w, r, st); err != nil {
		return err
	}
	s.cfg.Log.InfoContext(r.Context(), "logged in", "subject", st.Subject)
	http.Redirect(w, r, l.Return, http.StatusSeeOther)
	return nil
}

// begun is the login that this browser began with the state. It can be ended
// once: its cookie is taken away, whatever comes of it.
func (s *Sessions) begun(w http.ResponseWriter, r *http.Request, id string) (*login, error) {
	unknown := errs.Denied.New("this browser has not begun this login, or too long ago; begin again").Because("LOGIN_UNKNOWN")
	if len(id) < 8 {
		return nil, unknown
	}
	cookies := r.CookiesNamed(loginCookie + id[:8])
	if len(cookies) != 1 {
		return nil, unknown
	}
	set(w, cookies[0].Name, "", -1)
	l := new(login)
	if !s.seal.open(sealedLogin, cookies[0].Value, l) || !s.cfg.Now().Before(l.Until) || subtle.ConstantTimeCompare([]byte(l.State), []byte(id)) != 1 {
		return nil, unknown
	}
	return l, nil
}

// logout ends the session here, and has the issuer forget its refresh token. A
// person goes on to the issuer's page for ending the session there: else whoever
// has the browser next gets in without a password. A browser without a session is
// logged out already.
func (s *Sessions) logout(w http.ResponseWriter, r *http.Request) error {
	if err := s.ours(r); err != nil {
		return err
	}
	sealed, found := cookie(r)
	s.drop(w, r)
	if found {
		if st, _, ok := s.open(sealed); ok {
			s.recent.over(st.ID)
			s.revoke(r.Context(), st)
			s.cfg.Log.InfoContext(r.Context(), "logged out", "subject", st.Subject)
		}
	}
	if page(r) {
		home := strings.TrimSuffix(s.cfg.RedirectURL, prefix+"callback") + "/"
		http.Redirect(w, r, cmp.Or(s.provider.farewell(r.Context(), home), "/"), http.StatusSeeOther)
		return nil
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// revoke tells the issuer that nobody needs the session's refresh token, whether
// or not the browser waits.
func (s *Sessions) revoke(ctx context.Context, st *state) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewWait)
	defer cancel()
	if err := s.provider.revoke(ctx, st.Refresh); err != nil {
		s.cfg.Log.WarnContext(ctx, "refresh token not revoked", "error", err)
	}
}

// me tells a page who is logged in. It never tells a token.
func (s *Sessions) me(w http.ResponseWriter, r *http.Request) error {
	sealed, _ := cookie(r)
	st, turn, ok := s.open(sealed)
	if !ok {
		s.drop(w, r)
		return errSessionOver()
	}
	s.touch(w, r, st, turn)
	doc, err := json.Marshal(struct {
		Subject string    `json:"subject"`
		Name    string    `json:"name,omitempty"`
		Scopes  []string  `json:"scopes"`
		Expiry  time.Time `json:"expiry"` // of the session
	}{st.Subject, st.Name, st.Scopes, st.Began.Add(s.cfg.Lifetime).UTC()})
	if err != nil {
		return errs.Internal.New("tell who is logged in: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(doc, '\n'))
	return nil
}
