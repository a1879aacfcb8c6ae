package oauth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"example.com/app/platform/errs"
	"example.com/app/services/issuer/account"
	"example.com/app/services/issuer/keys"
)

// A grant is what tokens are made for.
type grant struct {
	client *account.Client
	user   *account.User // nil: the client itself
	Record
}

// An answer is what the token endpoint says (RFC 6749 section 5.1).
type answer struct {
	Access  string `json:"access_token"`
	Type    string `json:"token_type"`
	Expires int    `json:"expires_in"` // seconds
	Scope   string `json:"scope"`
	Refresh string `json:"refresh_token,omitempty"`
	ID      string `json:"id_token,omitempty"`
}

// claims are those of an access token (RFC 9068 section 2.2).
type claims struct {
	Issuer   string       `json:"iss"`
	Subject  string       `json:"sub"`
	Audience jwt.Audience `json:"aud"`
	Expires  int64        `json:"exp"`
	Issued   int64        `json:"iat"`
	TokenID  string       `json:"jti"`
	Client   string       `json:"client_id"`
	Scope    string       `json:"scope,omitempty"`
	Roles    []string     `json:"roles,omitempty"`
	AuthTime int64        `json:"auth_time,omitempty"`
}

// mint makes the tokens of a grant. refresh is the refresh token to hand out, if
// there is one.
func (s *Server) mint(g grant, refresh string) (*answer, error) {
	now := s.cfg.Now()
	c := claims{
		Issuer: s.cfg.Issuer, Subject: g.client.ID, Client: g.client.ID, Roles: g.client.Roles, TokenID: rand.Text(),
		Audience: append(jwt.Audience{s.cfg.Audience}, slices.DeleteFunc(slices.Clone(g.Resources), func(a string) bool { return a == s.cfg.Audience })...),
		Issued:   now.Unix(), Expires: now.Add(s.cfg.Access).Unix(), Scope: strings.Join(g.Scopes, " "),
	}
	if g.Family != "" {
		c.TokenID = g.Family + "." + c.TokenID // so that the family is found when it is revoked
	}
	if g.user != nil {
		c.Subject, c.Roles, c.AuthTime = g.user.Subject, g.user.Roles, g.AuthTime.Unix()
	}
	access, err := s.sign("at+jwt", c)
	if err != nil {
		return nil, err
	}
	a := &answer{Access: access, Type: "Bearer", Expires: int(s.cfg.Access / time.Second), Scope: c.Scope, Refresh: refresh}
	if g.user != nil && slices.Contains(g.Scopes, "openid") {
		a.ID, err = s.mintID(g, access, now)
	}
	return a, err
}

// mintID makes an ID token (OpenID Connect Core section 2).
func (s *Server) mintID(g grant, access string, now time.Time) (string, error) {
	half := sha256.Sum256([]byte(access))
	id := map[string]any{
		"iss": s.cfg.Issuer, "sub": g.user.Subject, "aud": g.client.ID, "exp": now.Add(s.cfg.Access).Unix(), "iat": now.Unix(),
		"auth_time": g.AuthTime.Unix(), "amr": []string{"pwd"}, "at_hash": base64.RawURLEncoding.EncodeToString(half[:16]),
	}
	if g.Nonce != "" {
		id["nonce"] = g.Nonce
	}
	if slices.Contains(g.Scopes, "profile") {
		id["name"], id["preferred_username"] = g.user.Display, g.user.Name
	}
	return s.sign("JWT", id)
}

func (s *Server) sign(kind string, claims any) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: keys.Algorithm, Key: s.cfg.Keys.Signing()}, (&jose.SignerOptions{}).WithType(jose.ContentType(kind)))
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return text, nil
}

// open checks the signature and the type of a token of this server, not its
// time, and reads what it says.
func (s *Server) open(token, kind string, into any) error {
	t, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{keys.Algorithm})
	if err != nil {
		return errs.Invalid.New("not a token: %w", err)
	}
	if typ, _ := t.Headers[0].ExtraHeaders[jose.HeaderType].(string); typ != kind {
		return errs.Invalid.New("a token of type %q, want %q", typ, kind)
	}
	for _, k := range s.cfg.Keys.Public().Keys {
		if k.KeyID == t.Headers[0].KeyID {
			return t.Claims(k, into)
		}
	}
	return errs.Invalid.New("signed with a key that is not known")
}

// live reads an access token that is neither expired nor revoked.
func (s *Server) live(token string) (*claims, bool) {
	var c claims
	if err := s.open(token, "at+jwt", &c); err != nil || c.Issuer != s.cfg.Issuer || s.cfg.Now().Unix() >= c.Expires {
		return nil, false
	}
	return &c, !s.revoked(c.TokenID)
}

// revoked says whether a token, or the family it is of, was revoked.
func (s *Server) revoked(id string) bool {
	if _, ok := find(s.store, Revoked, id); ok {
		return true
	}
	family, _, ok := strings.Cut(id, ".")
	if ok {
		_, ok = find(s.store, Revoked, family)
	}
	return ok
}

// disown revokes all tokens of a family. Its access tokens are remembered for as
// long as they could live.
func (s *Server) disown(family string) error {
	s.store.Delete(Families, family)
	return s.store.Put(Revoked, family, Record{Expires: s.cfg.Now().Add(s.cfg.Access + time.Minute)})
}

// refreshToken is the token of a generation of a family. Whoever knows the family
// alone can't make one.
func (s *Server) refreshToken(family string, generation uint64) string {
	n := strconv.FormatUint(generation, 10)
	return family + "." + n + "." + s.seal("refresh", family, n)
}

// openRefresh reads one.
func (s *Server) openRefresh(token string) (family string, generation uint64, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", 0, false
	}
	generation, err := strconv.ParseUint(parts[1], 10, 64)
	return parts[0], generation, err == nil && same(token, s.refreshToken(parts[0], generation))
}
