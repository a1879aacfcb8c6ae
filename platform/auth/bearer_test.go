package auth_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/auth"
	"example.com/app/platform/errs"
)

func TestAU5TheTokenComesInOneAuthorizationHeader(t *testing.T) {
	longest := strings.Repeat("x", auth.MaxToken)
	for name, test := range map[string]struct {
		values        []string
		token, reason string
	}{
		"as it should be":       {[]string{"Bearer abc.DEF-_~+/123=="}, "abc.DEF-_~+/123==", ""},
		"in lower case":         {[]string{"bearer abc"}, "abc", ""},
		"in capitals":           {[]string{"BEARER abc"}, "abc", ""},
		"more blanks":           {[]string{"Bearer   abc"}, "abc", ""},
		"the longest":           {[]string{"Bearer " + longest}, longest, ""},
		"none":                  {nil, "", auth.Missing},
		"two":                   {[]string{"Bearer abc", "Bearer abc"}, "", auth.Repeated},
		"two, one empty":        {[]string{"", "Bearer abc"}, "", auth.Repeated},
		"empty":                 {[]string{""}, "", auth.Scheme},
		"Basic":                 {[]string{"Basic YWJj"}, "", auth.Scheme},
		"DPoP":                  {[]string{"DPoP abc"}, "", auth.Scheme},
		"the token alone":       {[]string{"abc"}, "", auth.Scheme},
		"a blank before":        {[]string{" Bearer abc"}, "", auth.Scheme},
		"a tab between":         {[]string{"Bearer\tabc"}, "", auth.Scheme},
		"Bearer:":               {[]string{"Bearer: abc"}, "", auth.Scheme},
		"Bearer with K":         {[]string{"Bea\u0280er abc"}, "", auth.Scheme},
		"nothing after it":      {[]string{"Bearer"}, "", auth.Malformed},
		"blanks after it":       {[]string{"Bearer  "}, "", auth.Malformed},
		"a blank at the end":    {[]string{"Bearer abc "}, "", auth.Malformed},
		"two tokens":            {[]string{"Bearer abc def"}, "", auth.Malformed},
		"two with a comma":      {[]string{"Bearer abc, Bearer def"}, "", auth.Malformed},
		"quoted":                {[]string{`Bearer "abc"`}, "", auth.Malformed},
		"a line break":          {[]string{"Bearer abc\r\nX-Admin: 1"}, "", auth.Malformed},
		"NUL":                   {[]string{"Bearer abc\x00"}, "", auth.Malformed},
		"beyond ASCII":          {[]string{"Bearer abcé"}, "", auth.Malformed},
		"padding alone":         {[]string{"Bearer ==="}, "", auth.Malformed},
		"padding in the middle": {[]string{"Bearer ab=c"}, "", auth.Malformed},
		"too long":              {[]string{"Bearer " + longest + "x"}, "", auth.Oversize},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := auth.Bearer(test.values)
			require.Equal(t, test.token, token)
			require.Equal(t, test.reason, auth.Reason(err))
			if test.reason != "" {
				require.Equal(t, errs.Unauthenticated, errs.Of(err))
				require.Equal(t, 401, errs.HTTP(err))
				require.NotContains(t, err.Error(), "abc")
			}
		})
	}
}

// A token is either refused or handed on whole, and then it is one that any
// header can hold.
func FuzzBearer(f *testing.F) {
	for _, seed := range []string{"Bearer abc.def.ghi", "bearer  a=", "Bearer", "Basic YWJj", "", " Bearer x", "Bearer a,b", "Bearer \x00", "Bearer =", "Bearer é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		token, err := auth.Bearer([]string{value})
		if err != nil {
			require.Empty(t, token)
			require.Equal(t, errs.Unauthenticated, errs.Of(err))
			require.NotEmpty(t, auth.Reason(err))
			return
		}
		require.True(t, strings.HasSuffix(value, " "+token))
		require.LessOrEqual(t, len(token), auth.MaxToken)
		require.Regexp(t, `^[A-Za-z0-9._~+/-]+=*$`, token)
		again, err := auth.Bearer([]string{"Bearer " + token})
		require.NoError(t, err)
		require.Equal(t, token, again)
	})
}
