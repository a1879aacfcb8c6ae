package openapi

import (
	"slices"

	"example.com/app/platform/auth/rule"
	"example.com/app/platform/transcode/route"
)

// scheme is what the document calls the access tokens of the issuer.
const scheme = "oauth2"

// securitySchemes says where access tokens come from. The endpoints are those
// that the issuer's own metadata tells (OpenID Connect Discovery 1.0 section 4).
func securitySchemes(issuer string) object {
	return object{scheme: object{
		"type":             "openIdConnect",
		"openIdConnectUrl": issuer + "/.well-known/openid-configuration",
		"description":      "An OAuth 2.0 access token (RFC 9068) of " + issuer + ", as Authorization: Bearer.",
	}}
}

// security is what an operation asks of the caller's token: the scopes of its
// method's rule. None where anybody may call, or no token is looked at.
func security(r *route.Route) []any {
	if r == nil {
		return []any{object{scheme: []any{}}}
	}
	said, _ := rule.Of(r.Method)
	if !said.NeedsToken() {
		return []any{}
	}
	scopes := []any{}
	for _, s := range slices.Sorted(slices.Values(said.Scopes)) {
		scopes = append(scopes, s)
	}
	return []any{object{scheme: scopes}}
}
