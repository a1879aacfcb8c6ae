package session

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"example.com/app/platform/errs"
)

// leeway is how far our clock and the issuer's may be apart.
const leeway = 30 * time.Second

// algorithms are those of ID tokens that are accepted: signatures by a key that
// the issuer alone has (RFC 8725 §3.1).
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
		jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
	}
}

// A keySet is the keys of an issuer that can be read: others are left out (RFC
// 7517 §5).
type keySet []jose.JSONWebKey

// UnmarshalJSON reads a JWKS document.
func (s *keySet) UnmarshalJSON(b []byte) error {
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(b, &document); err != nil {
		return err
	}
	*s = nil
	for _, entry := range document.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(entry, &key) == nil {
			*s = append(*s, key)
		}
	}
	return nil
}

// claims are those of an ID token (OpenID Connect Core 1.0 §2).
type claims struct {
	Issuer     string   `json:"iss"`
	Subject    string   `json:"sub"`
	Audience   audience `json:"aud"`
	Authorized string   `json:"azp"`
	Nonce      string   `json:"nonce"`
	Expiry     *int64   `json:"exp"`
	Issued     *int64   `json:"iat"`
	Name       string   `json:"name"`
	Preferred  string   `json:"preferred_username"`
}

// An audience is one name or a list of them (RFC 7519 §4.1.3).
type audience []string

// UnmarshalJSON reads both forms.
func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

func badID(why string) error {
	return errs.Unauthenticated.New("the login service sent an ID token that can't be accepted: %s", why).Because("ID_TOKEN")
}

// verify checks an ID token as OpenID Connect Core 1.0 §3.1.3.7 says, and that
// it answers our own request. The error is of kind Unauthenticated, or
// Unavailable where the issuer's keys can't be had.
func (p *provider) verify(ctx context.Context, token, nonce string) (*claims, error) {
	if len(token) > 16<<10 {
		return nil, badID("it is too long")
	}
	signed, err := jose.ParseSignedCompact(token, algorithms())
	if err != nil {
		return nil, badID("it is not a token signed with a good algorithm")
	}
	payload, err := p.signed(ctx, signed)
	if err != nil {
		return nil, err
	}
	c := new(claims)
	if json.Unmarshal(payload, c) != nil {
		return nil, badID("its claims can't be read")
	}
	now := p.cfg.Now()
	switch {
	case c.Issuer != p.cfg.Issuer:
		return nil, badID("it is another issuer's")
	case !slices.Contains(c.Audience, p.cfg.ClientID):
		return nil, badID("it is for another client")
	case len(c.Audience) > 1 && c.Authorized != p.cfg.ClientID, c.Authorized != "" && c.Authorized != p.cfg.ClientID:
		return nil, badID("it was issued to another client")
	case c.Subject == "" || len(c.Subject) > 255:
		return nil, badID("it names nobody")
	case c.Expiry == nil || !now.Before(time.Unix(*c.Expiry, 0).Add(leeway)):
		return nil, badID("it has ended")
	case c.Issued == nil || now.Add(leeway).Before(time.Unix(*c.Issued, 0)):
		return nil, badID("it is from the future")
	case nonce == "" || c.Nonce != nonce:
		return nil, badID("it answers another request")
	}
	return c, nil
}

// signed is the payload, once a key of the issuer's has proven it. A key that
// is not known is asked for, once in a while.
func (p *provider) signed(ctx context.Context, token *jose.JSONWebSignature) ([]byte, error) {
	m, err := p.metadata(ctx)
	if err != nil {
		return nil, err
	}
	if err := take(ctx, p.keysTurn); err != nil {
		return nil, err
	}
	defer func() { p.keysTurn <- struct{}{} }()
	payload, err := proven(token, p.keys)
	age := p.cfg.Now().Sub(p.keysRead)
	if err == nil && age < keysLife {
		return payload, nil
	}
	if age >= fetchEvery {
		var keys keySet
		p.keysErr = p.get(context.WithoutCancel(ctx), m.Keys, &keys) // others wait for it
		p.keysRead = p.cfg.Now()
		if p.keysErr == nil {
			p.keys = keys
			return proven(token, keys)
		}
	}
	if err != nil && p.keysErr != nil {
		return nil, p.keysErr
	}
	return payload, err
}

// proven tries the keys that the token may be signed with: of its key id, where
// it names one, for its algorithm, strong enough, and for signatures.
func proven(token *jose.JSONWebSignature, keys keySet) ([]byte, error) {
	header := token.Signatures[0].Protected
	for _, key := range keys {
		if header.KeyID != "" && key.KeyID != header.KeyID || key.Algorithm != "" && key.Algorithm != header.Algorithm ||
			key.Use != "" && key.Use != "sig" || !key.IsPublic() || !key.Valid() {
			continue
		}
		if k, ok := key.Key.(*rsa.PublicKey); ok && k.N.BitLen() < 2048 {
			continue
		}
		if payload, err := token.Verify(key.Key); err == nil {
			return payload, nil
		}
	}
	return nil, badID("no key of the issuer proves it")
}
