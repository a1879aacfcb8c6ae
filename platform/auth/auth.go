// Package auth says who a caller is: the bearer of an OAuth 2.0 access token.
//
// The rule of the house is that nobody is believed. A service looks at the
// token itself, whoever handed the call on, and no header but Authorization
// says who calls.
package auth

import (
	"context"
	"time"
)

// A Principal is the bearer of a verified access token: the claims of RFC 9068
// §2.2 that decide what it may do. It is shared by all calls that show the
// token and must not be changed.
type Principal struct {
	Subject string    // sub: the user, or the client where it acts for itself
	Client  string    // client_id: the program that got the token
	Issuer  string    // iss: who vouches for all this
	TokenID string    // jti: unique to the token, safe to log
	Scopes  []string  // scope, split at its spaces: what the user let the client do
	Roles   []string  // roles: what the user is; empty where the issuer says nothing
	Expiry  time.Time // exp, in UTC
}

// principalKey is the key of the principal in a context.
type principalKey struct{}

// With returns a context in which p is the caller.
func With(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// From returns the caller that With put into ctx; nil where nobody showed a
// token.
func From(ctx context.Context) *Principal {
	p, _ := ctx.Value(principalKey{}).(*Principal)
	return p
}

// A Verifier finds out whose token it is given.
//
// Verify returns who bears the token, and never nil without an error. The error
// is of kind Unauthenticated with one of the reasons of this package where the
// token is at fault, and of kind Unavailable, with KeysUnavailable, where nobody
// can tell yet. It never repeats the token. Verify may wait, no longer than ctx
// lasts, and may be called from many goroutines.
type Verifier interface {
	Verify(ctx context.Context, token string) (*Principal, error)
}
