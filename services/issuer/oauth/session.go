package oauth

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"example.com/app/platform/errs"
	"example.com/app/services/issuer/page"
)

// cookieName: the prefix has browsers refuse the cookie from anybody but this
// host over TLS or on localhost (RFC 6265bis section 4.1.3.2).
const cookieName = "__Host-issuer"

// visitor is the value of a browser's cookie, and whether somebody is logged in
// with it. A session ends when its person is gone or has another password.
func (s *Server) visitor(r *http.Request) (cookie string, session Record, in bool) {
	c, err := r.Cookie(cookieName)
	if err != nil || len(c.Value) != len(rand.Text()) {
		return "", Record{}, false
	}
	if session, in = find(s.store, Sessions, hashed(c.Value)); in {
		_, err = s.person(session)
		in = err == nil
	}
	return c.Value, session, in
}

// cookie gives a browser a cookie; an empty value takes it away.
func (s *Server) cookie(w http.ResponseWriter, value string) {
	c := &http.Cookie{Name: cookieName, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// visit makes sure that a browser has a cookie to bind a form to.
func (s *Server) visit(w http.ResponseWriter, r *http.Request) string {
	value, _, _ := s.visitor(r)
	if value == "" {
		value = rand.Text()
		s.cookie(w, value)
	}
	return value
}

// mark is the hidden field of forms that are shown to a browser.
func (s *Server) mark(cookie string) string { return s.seal("form", cookie) }

// posted reads the form of a page of this server.
func (s *Server) posted(r *http.Request) (f url.Values, cookie string, err error) {
	if f, err = form(r); err != nil {
		return nil, "", err
	}
	cookie, _, _ = s.visitor(r)
	if cookie == "" || !same(f.Get("mark"), s.mark(cookie)) {
		return nil, "", &refusal{Code: accessDenied, Text: "the form is too old, or cookies are off: go back and try again", status: http.StatusForbidden}
	}
	return f, cookie, nil
}

// next is where a person goes on after the login: a page of this server and no
// other place.
func next(text string) (*url.URL, error) {
	path, query, _ := strings.Cut(text, "?")
	if path != "/oauth2/authorize" && path != "/oauth2/device" {
		return nil, refuse(invalidRequest, "the form leads nowhere")
	}
	if _, err := url.ParseQuery(query); err != nil {
		return nil, refuse(invalidRequest, "the form leads nowhere")
	}
	return &url.URL{Path: path, RawQuery: query}, nil
}

// askLogin shows the login page.
func (s *Server) askLogin(w http.ResponseWriter, r *http.Request, to *url.URL, problem *refusal) {
	status, text := http.StatusOK, ""
	if problem != nil {
		status, text = problem.status, problem.Text
		retryAfter(w, problem.wait)
	}
	s.pages.Show(w, status, page.Page{Name: "login", Title: "Log in", Mark: s.mark(s.visit(w, r)), Next: to.String(), Problem: text,
		Sends: s.leaves(to)})
}

// leaves is the redirect URI that the forms on the way to a page may end at:
// browsers hold a form to its page's policy over all redirects.
func (s *Server) leaves(to *url.URL) string {
	if q := to.Query(); to.Path == "/oauth2/authorize" {
		if c, err := s.cfg.Accounts.Client(q.Get("client_id")); err == nil && c.Redirect(q.Get("redirect_uri")) {
			return q.Get("redirect_uri")
		}
	}
	return ""
}

// login checks the name and the password that somebody typed.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	f, cookie, err := s.posted(r)
	if err != nil {
		s.sayPage(w, err)
		return
	}
	to, err := next(f.Get("next"))
	if err != nil {
		s.sayPage(w, err)
		return
	}
	if err := s.enter(w, r, cookie, f); err != nil {
		s.askLogin(w, r, to, s.asRefusal(err))
		return
	}
	http.Redirect(w, r, to.String(), http.StatusSeeOther) //nolint:gosec // next lets through two paths of this server
}

// enter logs a person in, with a new cookie: one that somebody else slipped into
// the browser before is worth nothing (session fixation).
func (s *Server) enter(w http.ResponseWriter, r *http.Request, cookie string, f url.Values) error {
	now, name := s.cfg.Now(), f.Get("username")
	if err := s.byAddress.take(address(r), now); err != nil {
		return err
	}
	if err := s.byGuesser.take(hashed(address(r)+" "+name), now); err != nil {
		return err
	}
	if err := s.byName.take(hashed(name), now); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	user, err := s.cfg.Accounts.Login(ctx, name, f.Get("password"))
	if errs.Unauthenticated.Is(err) {
		s.cfg.Log.Info("a login failed", slog.String("from", address(r)))
		return &refusal{Code: accessDenied, Text: "The name or the password is wrong.", status: http.StatusForbidden}
	}
	if err != nil {
		return err
	}
	fresh := rand.Text()
	if err := s.store.Put(Sessions, hashed(fresh), Record{Subject: user.Subject, AuthTime: now, Login: hashed(user.Password), Expires: now.Add(s.cfg.Session)}); err != nil {
		return err
	}
	s.store.Delete(Sessions, hashed(cookie))
	s.cookie(w, fresh)
	return nil
}

// sayPage shows a person that something went wrong.
func (s *Server) sayPage(w http.ResponseWriter, err error) {
	r := s.asRefusal(err)
	s.refusals.WithLabelValues(r.Code).Inc()
	retryAfter(w, r.wait)
	s.pages.Show(w, r.status, page.Page{Name: "message", Title: "That did not work", Text: r.Text, Problem: r.Code})
}
