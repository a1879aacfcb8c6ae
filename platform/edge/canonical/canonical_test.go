package canonical_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/auth"
	"example.com/app/platform/edge/canonical"
)

func TestGW5OnlyOneFormOfAPathIsTaken(t *testing.T) {
	for target, reason := range map[string]string{
		"/":               "",
		"/a/b%20c/%C3%A9": "",
		"/a;v=1/..b":      "",
		"/100%25":         "",
		"/a%2Fb":          "PATH_AMBIGUOUS",
		"/a%5cb":          "PATH_AMBIGUOUS",
		"/a%00":           "PATH_AMBIGUOUS",
		"/a//b":           "PATH_AMBIGUOUS",
		"/a/%2e%2E/b":     "PATH_AMBIGUOUS",
		"/a/..;x":         "PATH_AMBIGUOUS",
		"/%252e":          "PATH_AMBIGUOUS",
		"/%ff":            "PATH_AMBIGUOUS",
	} {
		u, err := url.ParseRequestURI(target)
		require.NoError(t, err)
		require.Equal(t, reason, auth.Reason(canonical.CheckURL(u)), target)
	}
	require.Equal(t, "PATH_AMBIGUOUS", auth.Reason(canonical.CheckPath("a")))
}

func TestGW3ForgedHeadersAreDroppedAndNoOthers(t *testing.T) {
	h := http.Header{}
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Ssl-Client", "X_Real_Ip", "Proxy", "Accept", "Authorization", "X-Request-Id", "Forward"} {
		h.Set(name, "x")
	}
	canonical.DropForged(h)
	require.Equal(t, http.Header{"Accept": {"x"}, "Authorization": {"x"}, "X-Request-Id": {"x"}, "Forward": {"x"}}, h)
}
