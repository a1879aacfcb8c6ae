package oauth

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/app/platform/errs"
	"example.com/app/services/issuer/account"
)

// An ask is an authorization request (RFC 6749 section 4.1.1, OpenID Connect Core
// section 3.1.2.1).
type ask struct {
	client            *account.Client
	redirect, state   string
	scopes, resources []string
	nonce, challenge  string
	prompt            []string
	maxAge            time.Duration // since the login; less than 0: any
	form              url.Values
}

// target finds out where the answer goes. What is wrong here is told to the
// person and not to the client: whose redirect URI it is, nobody knows yet.
func (s *Server) target(f url.Values) (*ask, error) {
	c, err := s.cfg.Accounts.Client(f.Get("client_id"))
	if errs.NotFound.Is(err) {
		return nil, refuse(invalidRequest, "client_id names no client that is known here")
	}
	if err != nil {
		return nil, err
	}
	if !c.Redirect(f.Get("redirect_uri")) {
		return nil, refuse(invalidRequest, "redirect_uri is not one of the client's")
	}
	return &ask{client: c, redirect: f.Get("redirect_uri"), state: f.Get("state"), form: f}, nil
}

// read checks the rest of the request, which the client gets to know about.
func (s *Server) read(a *ask) error {
	f := a.form
	if _, err := once(f); err != nil {
		return err
	}
	switch {
	case f.Has("request"):
		return refuse(requestNotSupported, "request objects are not understood")
	case f.Has("request_uri"):
		return refuse(requestURINotSupported, "request objects are not understood")
	case f.Get("response_type") == "":
		return refuse(invalidRequest, "response_type is missing")
	case f.Get("response_type") != "code":
		return refuse(unsupportedResponseType, "want response_type=code")
	case f.Has("response_mode") && f.Get("response_mode") != "query":
		return refuse(invalidRequest, "want response_mode=query")
	case !a.client.May("authorization_code"):
		return refuse(unauthorizedClient, "the client may not use authorization_code")
	case f.Get("code_challenge_method") != "S256":
		return refuse(invalidRequest, "want PKCE with code_challenge_method=S256 (RFC 7636)")
	}
	if sum, err := base64.RawURLEncoding.Strict().DecodeString(f.Get("code_challenge")); err != nil || len(sum) != 32 {
		return refuse(invalidRequest, "code_challenge is not the SHA-256 of a verifier")
	}
	if len(f.Get("nonce")) > mostText {
		return refuse(invalidRequest, "nonce is longer than %d bytes", mostText)
	}
	a.challenge, a.nonce, a.prompt, a.maxAge = f.Get("code_challenge"), f.Get("nonce"), strings.Fields(f.Get("prompt")), -1
	if slices.Contains(a.prompt, "none") && len(a.prompt) > 1 {
		return refuse(invalidRequest, "prompt=none goes with nothing else")
	}
	for _, p := range a.prompt {
		if !slices.Contains([]string{"none", "login", "consent", "select_account"}, p) {
			return refuse(invalidRequest, "prompt %.40q is not known here", p)
		}
	}
	if text := f.Get("max_age"); text != "" {
		seconds, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return refuse(invalidRequest, "max_age is not a number of seconds")
		}
		a.maxAge = time.Duration(seconds) * time.Second
	}
	var err error
	if a.scopes, err = permitted(a.client, f.Get("scope")); err != nil {
		return err
	}
	a.resources, err = s.targets(f)
	return err
}

// authorize is the authorization endpoint (RFC 6749 section 3.1).
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.sayPage(w, refuse(invalidRequest, "the parameters can't be read"))
		return
	}
	f := r.Form
	a, err := s.target(f)
	if err != nil {
		s.sayPage(w, err)
		return
	}
	if err := s.read(a); err != nil {
		s.sendBack(w, r, a, err)
		return
	}
	cookie, session, in := s.visitor(r)
	again := slices.Contains(a.prompt, "login") || slices.Contains(a.prompt, "select_account") ||
		a.maxAge >= 0 && s.cfg.Now().Sub(session.AuthTime) >= a.maxAge // 0 means now
	silent := slices.Contains(a.prompt, "none")
	switch {
	case (!in || again) && silent:
		s.sendBack(w, r, a, refuse(loginRequired, "nobody is logged in, or not lately enough"))
	case !in || again:
		s.askLogin(w, r, a.onward(), nil)
	case s.agreed(a, cookie):
		s.sendCode(w, r, a, session)
	case silent:
		s.sendBack(w, r, a, refuse(consentRequired, "the person has not agreed yet"))
	default:
		s.askConsent(w, a, cookie, session)
	}
}

// onward is the request without what the login will have done.
func (a *ask) onward() *url.URL {
	q := url.Values{}
	for name, values := range a.form {
		q[name] = values
	}
	q.Del("max_age")
	q.Del("prompt")
	if slices.Contains(a.prompt, "consent") {
		q.Set("prompt", "consent")
	}
	return &url.URL{Path: "/oauth2/authorize", RawQuery: q.Encode()}
}

// sendBack tells the client about an error, through the browser (RFC 6749 section
// 4.1.2.1).
func (s *Server) sendBack(w http.ResponseWriter, r *http.Request, a *ask, err error) {
	problem := s.asRefusal(err)
	s.refusals.WithLabelValues(problem.Code).Inc()
	s.send(w, r, a, url.Values{"error": {problem.Code}, "error_description": {problem.Text}})
}

// send has the browser go to the client's redirect URI. The answer names who it
// is from (RFC 9207).
func (s *Server) send(w http.ResponseWriter, r *http.Request, a *ask, answer url.Values) {
	to, err := url.Parse(a.redirect)
	if err != nil {
		s.sayPage(w, err)
		return
	}
	answer.Set("iss", s.cfg.Issuer)
	if a.state != "" {
		answer.Set("state", a.state)
	}
	to.RawQuery = strings.TrimPrefix(to.RawQuery+"&"+answer.Encode(), "&")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, to.String(), http.StatusSeeOther) //nolint:gosec // target has found it among the client's own
}
