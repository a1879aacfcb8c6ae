package account_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/services/issuer/account"
)

// TestRedirectsAreComparedToTheLetter: but for the port of a loopback address
// (RFC 9700 section 2.1, RFC 8252 section 7.3).
func TestRedirectsAreComparedToTheLetter(t *testing.T) {
	c := account.Client{
		Redirects:       []string{"https://web.example.com/cb?a=b", "http://127.0.0.1/cb", "http://[::1]:3000/cb"},
		LogoutRedirects: []string{"https://web.example.com/bye"},
	}
	for uri, want := range map[string]bool{
		"https://web.example.com/cb?a=b":     true,
		"https://web.example.com/cb":         false,
		"https://WEB.example.com/cb?a=b":     false,
		"https://web.example.com:443/cb?a=b": false,
		"https://web.example.com/cb?a=b#":    false,
		"https://web.example.com/bye":        false,
		"http://127.0.0.1:1/cb":              true,
		"http://127.0.0.1:65535/cb":          true,
		"http://127.0.0.1:1/cb/":             false,
		"http://127.0.0.1:1/cb?x":            false,
		"http://127.0.0.1.evil.example/cb":   false,
		"http://127.0.0.1:1@evil.example/cb": false,
		"http://127.0.0.2:1/cb":              false,
		"http://localhost:1/cb":              false,
		"http://[::1]:9/cb":                  true,
		"":                                   false,
	} {
		require.Equal(t, want, c.Redirect(uri), uri)
	}
	require.True(t, c.LogoutRedirect("https://web.example.com/bye"))
	require.False(t, c.LogoutRedirect("https://web.example.com/cb?a=b"))
}
