package oauth

import (
	"net/http"
	"net/url"

	"github.com/go-jose/go-jose/v4/jwt"

	"example.com/app/platform/errs"
	"example.com/app/services/issuer/page"
)

// leaving is a logout that a client asked for (OpenID Connect RP-Initiated Logout
// 1.0 section 2).
type leaving struct {
	subject string   // who shall leave; empty: the client does not say
	to      *url.URL // where the browser goes then; nil: it stays
	client  string
}

// logout ends the session of the person that the client names, and asks first
// where it names nobody: a link alone must not log people out.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.sayPage(w, refuse(invalidRequest, "the parameters can't be read"))
		return
	}
	l, err := s.wantsOut(r.Form)
	if err != nil {
		s.sayPage(w, err)
		return
	}
	cookie, session, in := s.visitor(r)
	if !in || l.subject == session.Subject {
		s.leave(w, r, cookie, l)
		return
	}
	sends := ""
	if l.to != nil {
		sends = l.to.String()
	}
	s.pages.Show(w, http.StatusOK, page.Page{Name: "logout", Title: "Log out?", Mark: s.mark(cookie), User: s.called(session.Subject), Sends: sends,
		Client: l.client, Redirect: r.Form.Get("post_logout_redirect_uri"), State: r.Form.Get("state")})
}

func (s *Server) wantsOut(f url.Values) (leaving, error) {
	l := leaving{client: f.Get("client_id")}
	if hint := f.Get("id_token_hint"); hint != "" {
		var id struct {
			Subject  string       `json:"sub"`
			Audience jwt.Audience `json:"aud"`
		}
		if err := s.open(hint, "JWT", &id); err != nil || len(id.Audience) != 1 || l.client != "" && l.client != id.Audience[0] {
			return l, refuse(invalidRequest, "id_token_hint is not an ID token of this client")
		}
		l.subject, l.client = id.Subject, id.Audience[0]
	}
	text := f.Get("post_logout_redirect_uri")
	if text == "" {
		return l, nil
	}
	c, err := s.cfg.Accounts.Client(l.client)
	if err != nil && !errs.NotFound.Is(err) {
		return l, err
	}
	if err != nil || !c.LogoutRedirect(text) {
		return l, refuse(invalidRequest, "post_logout_redirect_uri is not one of the client's")
	}
	if l.to, err = url.Parse(text); err != nil {
		return l, refuse(invalidRequest, "post_logout_redirect_uri can't be read")
	}
	if state := f.Get("state"); state != "" {
		q := l.to.Query()
		q.Set("state", state)
		l.to.RawQuery = q.Encode()
	}
	return l, nil
}

// confirmLogout takes the person's decision.
func (s *Server) confirmLogout(w http.ResponseWriter, r *http.Request) {
	f, cookie, err := s.posted(r)
	var l leaving
	if err == nil {
		l, err = s.wantsOut(f)
	}
	if err != nil {
		s.sayPage(w, err)
		return
	}
	s.leave(w, r, cookie, l)
}

func (s *Server) leave(w http.ResponseWriter, r *http.Request, cookie string, l leaving) {
	if cookie != "" {
		s.store.Delete(Sessions, hashed(cookie))
		s.cookie(w, "")
	}
	if l.to != nil {
		http.Redirect(w, r, l.to.String(), http.StatusSeeOther)
		return
	}
	s.pages.Show(w, http.StatusOK, page.Page{Name: "message", Title: "Logged out", Text: "You are logged out. You may close this page."})
}
