package oauth

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"example.com/app/platform/errs"
	"example.com/app/services/issuer/account"
)

// client is who sends a form: by HTTP Basic or in the form itself, or, where it
// is public, by its id alone (RFC 6749 section 2.3).
func (s *Server) client(r *http.Request, f url.Values) (*account.Client, error) {
	id, secret, basic, err := credentials(r, f)
	if err != nil {
		return nil, err
	}
	now, from := s.cfg.Now(), hashed(address(r)+" "+id)
	if err := s.byClient.spent(from, now); err != nil {
		return nil, err
	}
	c, err := s.cfg.Accounts.Client(id)
	if err != nil && !errs.NotFound.Is(err) {
		return nil, err
	}
	if err != nil || c.Public() && secret != "" || !c.Public() && !c.Shows(secret) {
		if err := s.byClient.take(from, now); err != nil { // failures count, and nothing else
			return nil, err
		}
		return nil, &refusal{Code: invalidClient, Text: "the client is not known, or its secret is wrong", status: http.StatusUnauthorized, basic: basic}
	}
	return c, nil
}

// credentials are the client's id and secret, and whether they came by HTTP
// Basic, where both are form-encoded (RFC 6749 section 2.3.1).
func credentials(r *http.Request, f url.Values) (id, secret string, basic bool, err error) {
	if _, there := r.Header["Authorization"]; !there {
		if f.Get("client_id") == "" {
			return "", "", false, &refusal{Code: invalidClient, Text: "the client does not say who it is", status: http.StatusUnauthorized, basic: true}
		}
		return f.Get("client_id"), f.Get("client_secret"), false, nil
	}
	id, secret, ok := r.BasicAuth()
	id, errID := url.QueryUnescape(id)
	secret, errSecret := url.QueryUnescape(secret)
	if !ok || errID != nil || errSecret != nil || len(r.Header["Authorization"]) > 1 {
		return "", "", true, &refusal{Code: invalidClient, Text: "want HTTP Basic", status: http.StatusUnauthorized, basic: true}
	}
	if f.Has("client_secret") || f.Has("client_id") && f.Get("client_id") != id {
		return "", "", true, refuse(invalidRequest, "the client shows two identities (RFC 6749 section 2.3)")
	}
	return id, secret, true, nil
}

// permitted is the scopes that a client asked for. Without any it gets all that
// it may have and that need no person to agree.
func permitted(c *account.Client, asked string) ([]string, error) {
	list := strings.Fields(asked)
	if len(list) == 0 {
		for _, scope := range c.Scopes {
			if !identity(scope) {
				list = append(list, scope)
			}
		}
	}
	slices.Sort(list)
	list = slices.Compact(list)
	if i := slices.IndexFunc(list, func(scope string) bool { return !slices.Contains(c.Scopes, scope) }); i >= 0 {
		return nil, refuse(invalidScope, "%.60q is not for this client", list[i])
	}
	return list, nil
}

// identity says whether a scope is about a person, not about the API.
func identity(scope string) bool {
	return scope == "openid" || scope == "profile" || scope == "offline_access"
}

// targets checks the resources that a token is asked for (RFC 8707 section 2):
// the system as a whole, by its audience or by the issuer's URL, or what lies
// below that.
func (s *Server) targets(f url.Values) ([]string, error) {
	list := slices.Clone(f["resource"])
	for _, text := range list {
		u, err := url.Parse(text)
		known := text == s.cfg.Audience || err == nil && u.IsAbs() && u.Fragment == "" && !strings.HasSuffix(text, "#") &&
			(text == s.cfg.Issuer || strings.HasPrefix(text, s.cfg.Issuer+"/"))
		if !known || len(list) > 4 || len(text) > mostText {
			return nil, refuse(invalidTarget, "resource %.100q is not known here", text)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}
