package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"example.com/app/platform/errs"
)

const (
	maxKeys  = 100 // in a set; an honest issuer has two or three
	maxTries = 8   // keys that one token is tried against, since each costs a signature
	minRSA   = 2048
)

// A key is one that an issuer signs access tokens with.
type key struct {
	kid    string
	algs   []jose.SignatureAlgorithm // those it may be used with: the key decides, never the token (RFC 8725 §3.1)
	public crypto.PublicKey
	id     [sha256.Size]byte // of all of the above: the same key again has the same one
}

// A set is the keys of an issuer, as its JWKS document lists them. It is not
// changed once made.
type set struct {
	keys    []*key // in the order of the document
	ids     map[[sha256.Size]byte]struct{}
	unnamed bool // one of them has no kid
}

// fitting are the keys that a token may have been signed with: those it names,
// or all where it names none. The second result is false where no key is named
// so.
func (s *set) fitting(j jws) (keys []*key, known bool) {
	if s == nil {
		return nil, false
	}
	for _, k := range s.keys {
		if j.kid != "" && k.kid != j.kid {
			continue
		}
		known = true
		if slices.Contains(k.algs, j.alg) && len(keys) < maxTries {
			keys = append(keys, k)
		}
	}
	return keys, known
}

// verify returns the one of keys that signed j; nil: none did.
func verify(keys []*key, j jws) *key {
	for _, k := range keys {
		if _, err := j.signed.Verify(k.public); err == nil {
			return k
		}
	}
	return nil
}

// parseSet reads a JWKS document (RFC 7517 §5). Keys that are not fit for access
// tokens are left out, as §5 asks, and counted. The error says that none is
// left, or that it is no such document.
func parseSet(document []byte) (s *set, unfit int, err error) {
	var d struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if len(document) == 0 || object(document, &d) != nil {
		return nil, 0, errs.Unavailable.New("the issuer's keys are not a JWKS document")
	}
	if len(d.Keys) > maxKeys {
		return nil, 0, errs.Unavailable.New("the issuer lists %d keys, more than %d", len(d.Keys), maxKeys)
	}
	s = &set{ids: make(map[[sha256.Size]byte]struct{})}
	for _, entry := range d.Keys {
		k, ok := parseKey(entry)
		if !ok {
			unfit++
			continue
		}
		s.keys = append(s.keys, k)
		s.ids[k.id] = struct{}{}
		s.unnamed = s.unnamed || k.kid == ""
	}
	if len(s.keys) == 0 {
		return nil, unfit, errs.Unavailable.New("the issuer lists no key for access tokens (and %d for something else)", unfit)
	}
	return s, unfit, nil
}

// parseKey reads an entry of the document, where it is a public key to verify
// signatures with. A symmetric or a private key has no place there: who could
// read it could make tokens.
func parseKey(entry json.RawMessage) (*key, bool) {
	var use struct {
		Use    *string  `json:"use"`
		KeyOps []string `json:"key_ops"`
	}
	var jwk jose.JSONWebKey
	if len(entry) == 0 || object(entry, &use) != nil || json.Unmarshal(entry, &jwk) != nil || !jwk.IsPublic() || !jwk.Valid() {
		return nil, false
	}
	if use.Use != nil && *use.Use != "sig" || use.KeyOps != nil && !slices.Contains(use.KeyOps, "verify") {
		return nil, false
	}
	algs := algorithmsOf(jwk.Key)
	if jwk.Algorithm != "" {
		algs = slices.DeleteFunc(algs, func(a jose.SignatureAlgorithm) bool { return string(a) != jwk.Algorithm })
	}
	thumbprint, err := jwk.Thumbprint(crypto.SHA256)
	if len(algs) == 0 || err != nil {
		return nil, false
	}
	return &key{
		kid: jwk.KeyID, algs: algs, public: jwk.Key,
		id: sha256.Sum256(fmt.Appendf(nil, "%x %v %q", thumbprint, algs, jwk.KeyID)),
	}, true
}

// algorithmsOf are what a public key may be used with; none where it is too
// weak, or of a type that no access token is signed with.
func algorithmsOf(public crypto.PublicKey) []jose.SignatureAlgorithm {
	switch p := public.(type) {
	case *rsa.PublicKey:
		if p.N.BitLen() >= minRSA { // RFC 7518 §3.3
			return []jose.SignatureAlgorithm{jose.RS256, jose.PS256}
		}
	case *ecdsa.PublicKey:
		switch p.Curve {
		case elliptic.P256():
			return []jose.SignatureAlgorithm{jose.ES256}
		case elliptic.P384():
			return []jose.SignatureAlgorithm{jose.ES384}
		}
	case ed25519.PublicKey:
		return []jose.SignatureAlgorithm{jose.EdDSA}
	}
	return nil
}

// same reports whether other lists the same keys, in any order.
func (s *set) same(other *set) bool {
	if other == nil || len(s.ids) != len(other.ids) {
		return false
	}
	for id := range s.ids {
		if _, ok := other.ids[id]; !ok {
			return false
		}
	}
	return true
}
