package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/app/platform/auth"
	"example.com/app/platform/errs"
)

func TestAU5AnAnswerSaysWhichTokenWouldDo(t *testing.T) {
	scope := errs.Denied.New("greeter.v1.Greeter/SayHello needs a token with the scope a b").Because(auth.ScopeMissing, "scope", "a b")
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"no token":          {auth.Refuse(auth.Missing, "no access token"), `Bearer realm="app"`},
		"another scheme":    {auth.Refuse(auth.Scheme, "not Bearer"), `Bearer realm="app"`},
		"two headers":       {auth.Refuse(auth.Repeated, "more than one"), `Bearer realm="app", error="invalid_request", error_description="more than one"`},
		"expired":           {auth.Refuse(auth.Expired, "the access token has expired"), `Bearer realm="app", error="invalid_token", error_description="the access token has expired"`},
		"of another make":   {errs.Unauthenticated.New("who?"), `Bearer realm="app", error="invalid_token", error_description="who?"`},
		"wrapped":           {fmt.Errorf("call: %w", auth.Refuse(auth.Key, "x")), `Bearer realm="app", error="invalid_token", error_description="call: x"`},
		"over the wire":     {status.FromProto(status.Convert(scope).Proto()).Err(), `Bearer realm="app", error="insufficient_scope", error_description="greeter.v1.Greeter/SayHello needs a token with the scope a b", scope="a b"`},
		"scope":             {scope, `Bearer realm="app", error="insufficient_scope", error_description="greeter.v1.Greeter/SayHello needs a token with the scope a b", scope="a b"`},
		"role":              {errs.Denied.New("no role").Because(auth.RoleMissing), `Bearer realm="app", error="insufficient_scope", error_description="no role"`},
		"the peer":          {errs.Denied.New("not for you").Because("PEER_DENIED"), ""},
		"keys unavailable":  {errs.Unavailable.New("x").Because(auth.KeysUnavailable), ""},
		"something else":    {errors.New("x"), ""},
		"the call has gone": {context.Canceled, ""},
		"nothing":           {nil, ""},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, test.want, auth.Challenge("app", test.err)) })
	}
	require.Equal(t, "Bearer", auth.Challenge("", auth.Refuse(auth.Missing, "x")))
	require.Equal(t, `Bearer error="invalid_token", error_description="x"`, auth.Challenge("", auth.Refuse(auth.Key, "x")))
}

// challenge is what RFC 9110 §11.6.1 and RFC 6750 §3 let a challenge be.
func challenge() *regexp.Regexp {
	const value = `"[\x20\x21\x23-\x5B\x5D-\x7E]+"`
	return regexp.MustCompile(`^Bearer( [a-z_]+=` + value + `(, [a-z_]+=` + value + `)*)?$`)
}

func TestNothingGetsOutOfAChallenge(t *testing.T) {
	for _, text := range []string{
		"x\r\nSet-Cookie: a=b", `x", error="none`, `x\`, `\"`, "\x00", "é\u2028", strings.Repeat("x", 10_000), `"`, "a\tb",
	} {
		for _, err := range []error{
			auth.Refuse(auth.Key, "%s", text),
			errs.Denied.New("%s", text).Because(auth.ScopeMissing, "scope", text),
		} {
			got := auth.Challenge(text[:1], err)
			require.Regexp(t, challenge(), got)
			require.Less(t, len(got), 2_000)
			h := http.Header{}
			h.Set("WWW-Authenticate", got)
			var wire strings.Builder
			require.NoError(t, h.Write(&wire))
			require.Equal(t, 1, strings.Count(wire.String(), "\n"))
			require.Equal(t, 1, strings.Count(got, ` error="`))
		}
	}
}

func FuzzChallenge(f *testing.F) {
	f.Add("app", "the access token has expired", "a b")
	f.Add("\"", "x\r\nA: b", "a\" b\\")
	f.Fuzz(func(t *testing.T, realm, text, scope string) {
		for _, err := range []error{auth.Refuse(auth.Key, "%s", text), errs.Denied.New("%s", text).Because(auth.ScopeMissing, "scope", scope)} {
			if got := auth.Challenge(realm, err); got != "" { // what can't travel has no reason
				require.Regexp(t, challenge(), got)
			}
		}
	})
}

func TestAReasonIsOnlyOurs(t *testing.T) {
	require.Equal(t, auth.Expired, auth.Reason(auth.Refuse(auth.Expired, "x")))
	require.Equal(t, "NOT_FOUND", auth.Reason(errs.NotFound.New("x")))
	foreign, err := status.New(codes.Unauthenticated, "x").WithDetails(&errdetails.ErrorInfo{Reason: "API_KEY_INVALID", Domain: "googleapis.com"})
	require.NoError(t, err)
	require.Empty(t, auth.Reason(foreign.Err()))
	require.Empty(t, auth.Reason(nil))
	require.Empty(t, auth.Reason(errors.New("x")))
	require.Empty(t, auth.Reason(context.Canceled))
}
