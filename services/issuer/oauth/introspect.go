package oauth

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"example.com/app/platform/auth"
	"example.com/app/services/issuer/account"
)

// introspection says what a token is worth now (RFC 7662 section 2.2). Of one
// that is worth nothing it says nothing else.
type introspection struct {
	Active bool   `json:"active"`
	Type   string `json:"token_type,omitempty"`
	*claims
}

// introspect answers services and clients that have a secret (RFC 7662).
func (s *Server) introspect(w http.ResponseWriter, r *http.Request) {
	f, c, err := s.asked(r)
	if err == nil && c.Public() {
		err = &refusal{Code: invalidClient, Text: "want a client with a secret", status: http.StatusUnauthorized, basic: true}
	}
	if err != nil {
		s.sayRefusal(w, err)
		return
	}
	var answer introspection
	if found, ok := s.live(f.Get("token")); ok {
		answer = introspection{true, "Bearer", found}
	} else if family, generation, ok := s.openRefresh(f.Get("token")); ok {
		r, ok := find(s.store, Families, family)
		if _, err := s.person(r); ok && err == nil && r.Client == c.ID && r.Generation == generation { // whose it is, and nobody else, may ask
			answer = introspection{true, "", &claims{Issuer: s.cfg.Issuer, Subject: r.Subject, Client: r.Client,
				Scope: strings.Join(r.Scopes, " "), Expires: r.Expires.Unix()}}
		}
	}
	sayJSON(w, http.StatusOK, answer)
}

// asked reads the form of a client that sends a token.
func (s *Server) asked(r *http.Request) (url.Values, *account.Client, error) {
	f, err := form(r)
	if err != nil {
		return nil, nil, err
	}
	c, err := s.client(r, f)
	if err == nil && f.Get("token") == "" {
		err = refuse(invalidRequest, "token is missing")
	}
	return f, c, err
}

// revoke ends a token: a refresh token with all that came of its grant, an access
// token alone (RFC 7009 section 2).
func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	f, c, err := s.asked(r)
	if err == nil {
		err = s.end(f.Get("token"), c)
	}
	if err != nil {
		s.sayRefusal(w, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK) // for tokens that nobody knows too
}

func (s *Server) end(token string, c *account.Client) error {
	foreign := refuse(invalidGrant, "the token is another client's")
	if family, _, ok := s.openRefresh(token); ok {
		r, found := find(s.store, Families, family)
		switch {
		case !found:
			return nil
		case r.Client != c.ID:
			return foreign
		}
		return s.disown(family)
	}
	found, ok := s.live(token)
	switch {
	case !ok:
		return nil
	case found.Client != c.ID:
		return foreign
	}
	return s.store.Put(Revoked, found.TokenID, Record{Expires: time.Unix(found.Expires, 0)})
}

// userinfo says who a token is about (OpenID Connect Core section 5.3).
func (s *Server) userinfo(w http.ResponseWriter, r *http.Request) {
	token, err := auth.Bearer(r.Header["Authorization"])
	if err != nil {
		w.Header().Set("WWW-Authenticate", `Bearer realm="issuer"`)
		sayJSON(w, http.StatusUnauthorized, refuse(invalidToken, "want a bearer token"))
		return
	}
	c, ok := s.live(token)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Bearer realm="issuer", error="invalid_token"`)
		sayJSON(w, http.StatusUnauthorized, refuse(invalidToken, "the token is not good"))
		return
	}
	scopes := strings.Fields(c.Scope)
	user, err := s.cfg.Accounts.User(c.Subject)
	if err != nil || !slices.Contains(scopes, "openid") {
		w.Header().Set("WWW-Authenticate", `Bearer realm="issuer", error="insufficient_scope", scope="openid"`)
		sayJSON(w, http.StatusForbidden, refuse("insufficient_scope", "want a token of a person, with openid"))
		return
	}
	info := map[string]any{"sub": user.Subject}
	if slices.Contains(scopes, "profile") {
		info["name"], info["preferred_username"] = user.Display, user.Name
	}
	sayJSON(w, http.StatusOK, info)
}
