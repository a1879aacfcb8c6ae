package auth

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	"example.com/app/platform/errs"
)

// Why a token was refused: the reasons of an ErrorInfo (AIP-193), which
// programs may compare. They stay as they are for ever. All are of kind
// Unauthenticated but the last two groups.
const (
	Missing   = "TOKEN_MISSING"   // no Authorization header
	Repeated  = "TOKEN_REPEATED"  // more than one, so that it is not clear which counts
	Scheme    = "TOKEN_SCHEME"    // a scheme other than Bearer
	Oversize  = "TOKEN_SIZE"      // longer than any honest one
	Malformed = "TOKEN_MALFORMED" // not a JWS in compact form with a JSON object in it (RFC 7515 §7.1, RFC 7519 §7.2)
	Algorithm = "TOKEN_ALGORITHM" // alg is none, symmetric, unknown, or not that of the key (RFC 8725 §3.1)
	Type      = "TOKEN_TYPE"      // typ is not at+jwt, as of an ID token (RFC 9068 §4)
	Critical  = "TOKEN_CRITICAL"  // crit lists what is not understood (RFC 7515 §4.1.11)
	Key       = "TOKEN_KEY"       // the issuer publishes no key of this name
	Signature = "TOKEN_SIGNATURE" // the signature does not fit
	Claim     = "TOKEN_CLAIM"     // a claim is missing or of the wrong type; which one is in the metadata as "claim"
	Issuer    = "TOKEN_ISSUER"    // iss is somebody else
	Audience  = "TOKEN_AUDIENCE"  // aud does not contain this system
	Expired   = "TOKEN_EXPIRED"   // exp has passed
	NotYet    = "TOKEN_NOT_YET"   // nbf or iat is to come

	// KeysUnavailable is no fault of the token: the issuer's keys are not known
	// yet. Of kind Unavailable, 503: the same token may do in a moment.
	KeysUnavailable = "KEYS_UNAVAILABLE"

	ScopeMissing = "SCOPE_MISSING" // of kind Denied; which scopes is in the metadata as "scope", space separated
	RoleMissing  = "ROLE_MISSING"  // of kind Denied
)

// Refuse makes the error of a token that is refused for one of the reasons
// above. The text must not contain any part of the token.
func Refuse(reason, format string, args ...any) *errs.Error {
	return errs.Unauthenticated.New(format, args...).Because(reason)
}

// Reason is the reason of err in this system's own words, as in TOKEN_EXPIRED,
// whether it was made here or arrived over the wire; empty where it has none.
func Reason(err error) string { return info(err).GetReason() }

// info finds the ErrorInfo of err that this system made; nil: there is none.
func info(err error) *errdetails.ErrorInfo {
	s, ok := status.FromError(err)
	if !ok {
		return nil
	}
	for _, detail := range s.Details() {
		if i, ok := detail.(*errdetails.ErrorInfo); ok && i.GetDomain() == errs.Domain {
			return i
		}
	}
	return nil
}
