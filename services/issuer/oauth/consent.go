package oauth

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"example.com/app/services/issuer/account"
	"example.com/app/services/issuer/page"
)

// agreed says whether the person has agreed to all of a request while logged in.
// Programs on the person's own machine ask each time: any other program there
// could pretend to be them (RFC 8252 section 8.6).
func (s *Server) agreed(a *ask, cookie string) bool {
	web := strings.HasPrefix(a.redirect, "https://") || strings.HasPrefix(a.redirect, s.origin+"/")
	if !web || slices.Contains(a.prompt, "consent") {
		return false
	}
	r, ok := find(s.store, Consents, hashed(cookie+" "+a.client.ID))
	return ok && !slices.ContainsFunc(a.scopes, func(scope string) bool { return !slices.Contains(r.Scopes, scope) })
}

// askConsent shows what a client wants.
func (s *Server) askConsent(w http.ResponseWriter, a *ask, cookie string, session Record) {
	to := &url.URL{Path: "/oauth2/authorize", RawQuery: a.form.Encode()}
	s.pages.Show(w, http.StatusOK, page.Page{Name: "consent", Title: "Allow access?", Mark: s.mark(cookie), Next: to.String(), Sends: a.redirect,
		Client: title(a.client), Site: site(a.redirect), User: s.called(session.Subject), Scopes: page.Scopes(a.scopes)})
}

// title is what people call a client.
func title(c *account.Client) string {
	if c.Name != "" {
		return c.Name
	}
	return c.ID
}

// called is what people call a user.
func (s *Server) called(subject string) string {
	if u, err := s.cfg.Accounts.User(subject); err == nil {
		return u.Name
	}
	return ""
}

// site is what a person is told of where they will be sent.
func site(redirect string) string {
	u, err := url.Parse(redirect)
	if err != nil || u.Host == "" {
		return "a program on this device"
	}
	return u.Host
}

// consent takes the person's decision.
func (s *Server) consent(w http.ResponseWriter, r *http.Request) {
	a, cookie, session, f, err := s.decided(r)
	if err != nil {
		s.sayPage(w, err)
		return
	}
	if err := s.read(a); err != nil {
		s.sendBack(w, r, a, err)
		return
	}
	if f.Get("decision") != "allow" {
		s.sendBack(w, r, a, refuse(accessDenied, "the person said no"))
		return
	}
	if err := s.store.Put(Consents, hashed(cookie+" "+a.client.ID), Record{Scopes: a.scopes, Expires: session.Expires}); err != nil {
		s.sendBack(w, r, a, err)
		return
	}
	s.sendCode(w, r, a, session)
}

// decided reads the form of the consent page.
func (s *Server) decided(r *http.Request) (*ask, string, Record, url.Values, error) {
	f, cookie, err := s.posted(r)
	if err != nil {
		return nil, "", Record{}, nil, err
	}
	to, err := next(f.Get("next"))
	if err != nil {
		return nil, "", Record{}, nil, err
	}
	_, session, in := s.visitor(r)
	if !in {
		return nil, "", Record{}, nil, &refusal{Code: loginRequired, Text: "you are logged out: go back and try again", status: http.StatusForbidden}
	}
	a, err := s.target(to.Query())
	return a, cookie, session, f, err
}

// sendCode gives the client a code for what the person agreed to.
func (s *Server) sendCode(w http.ResponseWriter, r *http.Request, a *ask, session Record) {
	code := rand.Text() + rand.Text()
	err := s.store.Put(Codes, hashed(code), Record{
		Client: a.client.ID, Subject: session.Subject, Scopes: a.scopes, Resources: a.resources, Redirect: a.redirect,
		Challenge: a.challenge, Nonce: a.nonce, AuthTime: session.AuthTime, Login: session.Login, Family: rand.Text(), Expires: s.cfg.Now().Add(s.cfg.Code),
	})
	if err != nil {
		s.sendBack(w, r, a, err)
		return
	}
	s.send(w, r, a, url.Values{"code": {code}})
}
