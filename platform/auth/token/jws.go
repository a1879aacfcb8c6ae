package token

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json" // refuses a name that comes twice, and names in other case

	"example.com/app/platform/auth"
)

// algorithms are what a token may be signed with (RFC 8725 §3.1, RFC 9068 §2.1):
// asymmetric ones alone, each of which fits one type of key.
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.ES384, jose.EdDSA}
}

// A jws is a token whose form is right. Nothing in it has been verified.
type jws struct {
	alg     jose.SignatureAlgorithm
	kid     string // empty: it names no key
	payload []byte
	signed  *jose.JSONWebSignature
}

// header is what a token may say about itself (RFC 7515 §4.1). What is not
// here is not looked at: jwk, jku, x5c and x5u would have the bearer bring the
// key along.
type header struct {
	Alg  *string         `json:"alg"`
	Typ  *string         `json:"typ"`
	Kid  *string         `json:"kid"`
	Crit json.RawMessage `json:"crit"`
	B64  json.RawMessage `json:"b64"`
}

// parse takes a token apart: a JWS in compact form whose header is that of an
// access token.
func parse(token string) (jws, error) {
	var parts [3][]byte
	pieces := strings.SplitN(token, ".", len(parts)+1)
	if len(pieces) != len(parts) {
		return jws{}, malformed("has not three parts")
	}
	for i, piece := range pieces {
		// Strict, and no line breaks: what reads the same must be the same token.
		part, err := base64.RawURLEncoding.Strict().DecodeString(piece)
		if err != nil || len(part) == 0 || strings.ContainsAny(piece, "\r\n") {
			return jws{}, malformed("has a part that is not base64url")
		}
		parts[i] = part
	}
	var h header
	if err := object(parts[0], &h); err != nil {
		return jws{}, malformed("has a header that is not a JSON object, says something twice, or in a wrong type")
	}
	if err := h.check(); err != nil {
		return jws{}, err
	}
	j := jws{alg: jose.SignatureAlgorithm(*h.Alg), payload: parts[1]}
	if h.Kid != nil {
		j.kid = *h.Kid
	}
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{j.alg})
	if err != nil {
		return jws{}, malformed("has a header that can't be read")
	}
	j.signed = signed
	return j, nil
}

// check holds the header against what an access token has in it.
func (h header) check() error {
	if h.Alg == nil || !allowed(jose.SignatureAlgorithm(*h.Alg)) {
		return auth.Refuse(auth.Algorithm, "the access token is signed with none of RS256, PS256, ES256, ES384, EdDSA")
	}
	if h.Typ == nil || !strings.EqualFold(strings.TrimPrefix(strings.ToLower(*h.Typ), "application/"), "at+jwt") {
		return auth.Refuse(auth.Type, "the token is not an access token: its typ is not at+jwt")
	}
	if len(h.Crit) > 0 || len(h.B64) > 0 { // RFC 7797 §7: no JWT has b64
		return auth.Refuse(auth.Critical, "the access token has critical headers that are not understood")
	}
	return nil
}

func allowed(alg jose.SignatureAlgorithm) bool {
	for _, a := range algorithms() {
		if a == alg {
			return true
		}
	}
	return false
}

// object decodes a JSON object.
func object(data []byte, into any) error {
	if !utf8.Valid(data) || data[0] != '{' {
		return malformed("is not a JSON object in UTF-8")
	}
	return json.Unmarshal(data, into)
}

func malformed(how string) error {
	return auth.Refuse(auth.Malformed, "the access token %s", how)
}
