package token

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json"

	"example.com/app/platform/auth"
)

// latest is the last second of the year 9999, beyond which time.Time does not
// travel as text (RFC 3339).
const latest = 253402300799

// claims are what an access token says (RFC 9068 §2.2), each of the right type.
type claims struct {
	principal *auth.Principal
	audience  []string
	notBefore time.Time // zero: it does not say
	issuedAt  time.Time
}

// isFor reports whether the audience is among those the token is for.
func (c claims) isFor(audience string) bool { return slices.Contains(c.audience, audience) }

// raw are the claims as they came.
type raw struct {
	Issuer    json.RawMessage `json:"iss"`
	Subject   json.RawMessage `json:"sub"`
	Audience  json.RawMessage `json:"aud"`
	Expiry    json.RawMessage `json:"exp"`
	NotBefore json.RawMessage `json:"nbf"`
	IssuedAt  json.RawMessage `json:"iat"`
	TokenID   json.RawMessage `json:"jti"`
	Client    json.RawMessage `json:"client_id"`
	Scope     json.RawMessage `json:"scope"`
	Roles     json.RawMessage `json:"roles"`
}

// parseClaims reads the payload of a token whose signature is good.
func parseClaims(payload []byte) (claims, error) {
	var r raw
	if err := object(payload, &r); err != nil {
		return claims{}, malformed("has claims that are not a JSON object, or one of them twice")
	}
	p := new(auth.Principal)
	for _, claim := range []struct {
		name string
		from json.RawMessage
		to   *string
	}{{"iss", r.Issuer, &p.Issuer}, {"sub", r.Subject, &p.Subject}, {"jti", r.TokenID, &p.TokenID}, {"client_id", r.Client, &p.Client}} {
		if !text(claim.from, claim.to) || *claim.to == "" {
			return claims{}, wrong(claim.name)
		}
	}
	c := claims{principal: p}
	for _, claim := range []struct {
		name string
		from json.RawMessage
		to   *time.Time
	}{{"exp", r.Expiry, &p.Expiry}, {"iat", r.IssuedAt, &c.issuedAt}} {
		if !date(claim.from, claim.to) {
			return claims{}, wrong(claim.name)
		}
	}
	var one, scope string
	switch {
	case r.NotBefore != nil && !date(r.NotBefore, &c.notBefore):
		return claims{}, wrong("nbf")
	case text(r.Audience, &one): // RFC 7519 §4.1.3: one may stand alone
		c.audience = []string{one}
	case !list(r.Audience, &c.audience):
		return claims{}, wrong("aud")
	}
	if r.Scope != nil && !text(r.Scope, &scope) {
		return claims{}, wrong("scope")
	}
	if r.Roles != nil && !list(r.Roles, &p.Roles) {
		return claims{}, wrong("roles")
	}
	p.Scopes = slices.DeleteFunc(strings.Split(scope, " "), func(s string) bool { return s == "" })
	return c, nil
}

func wrong(claim string) error {
	return auth.Refuse(auth.Claim, "the claim %s of the access token is missing or of the wrong type", claim).Because(auth.Claim, "claim", claim)
}

// text decodes a string and nothing else.
func text(from json.RawMessage, to *string) bool {
	return len(from) > 0 && from[0] == '"' && json.Unmarshal(from, to) == nil
}

// list decodes an array of strings and nothing else.
func list(from json.RawMessage, to *[]string) bool {
	var items []json.RawMessage
	if len(from) == 0 || from[0] != '[' || json.Unmarshal(from, &items) != nil {
		return false
	}
	all := make([]string, len(items))
	for i, item := range items {
		if !text(item, &all[i]) {
			return false
		}
	}
	*to = all
	return true
}

// date decodes a NumericDate (RFC 7519 §2): seconds since 1970 as a JSON
// number, fractions allowed and cut off.
func date(from json.RawMessage, to *time.Time) bool {
	seconds, err := strconv.ParseFloat(string(from), 64)
	if err != nil || from[0] < '0' || from[0] > '9' || seconds > latest {
		return false
	}
	*to = time.Unix(int64(math.Floor(seconds)), 0).UTC()
	return true
}
