package hostile

import (
	"context"
	"crypto/tls"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"example.com/app/platform/app"
	"example.com/app/platform/network"
	"example.com/app/platform/registry"
)

// overMTLS runs a test on loopback with a system that checks who is who.
func overMTLS(t *testing.T, test func(*testing.T, *world)) {
	t.Helper()
	w := newSecureWorld(t, app.One(registry.NewMemory().Host("here"), new(network.TCP)), app.Config{GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0"})
	test(t, w)
}

// TestAU10StrangersReachNoRole tries to talk to a role without a certificate, in
// plain text, and with one of a foreign CA.
func TestAU10StrangersReachNoRole(t *testing.T) {
	overMTLS(t, func(t *testing.T, w *world) {
		code, _ := w.rough(nil, message(0, 5, ada))
		require.NotEqual(t, codes.OK, code, "plain text")
		foreign, err := certificate(t)(nil)
		require.NoError(t, err)
		for name, config := range map[string]*tls.Config{
			"no certificate": {},
			"a foreign CA":   {Certificates: []tls.Certificate{*foreign}},
			"TLS 1.2":        {MaxVersion: tls.VersionTLS12},
		} {
			config.InsecureSkipVerify, config.NextProtos = true, []string{"h2"}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			c, err := w.net.Dial(ctx, w.where["greeter"])
			require.NoError(t, err)
			s := tls.Client(c, config)
			if err = s.HandshakeContext(ctx); err == nil { // TLS 1.3: the server's no comes behind it
				require.NoError(t, s.SetReadDeadline(time.Now().Add(10*time.Second)))
				_, err = io.ReadAll(s)
			}
			require.Error(t, err, name)
			require.ErrorContains(t, err, "tls", name)
			_ = c.Close()
			cancel()
		}
	})
}

// TestAU5WithoutATokenNothingIsAnswered asks the gateway in all the ways that
// must not count as bringing one.
func TestAU5WithoutATokenNothingIsAnswered(t *testing.T) {
	overMTLS(t, func(t *testing.T, w *world) {
		for name, head := range map[string]string{
			"none":               "GET /v1/greetings/Ada HTTP/1.1\n",
			"garbage":            "GET /v1/greetings/Ada HTTP/1.1\nAuthorization: Bearer x\n",
			"another scheme":     "GET /v1/greetings/Ada HTTP/1.1\nAuthorization: Basic YTpi\n",
			"two headers":        "GET /v1/greetings/Ada HTTP/1.1\nAuthorization: Bearer a\nAuthorization: Bearer b\n",
			"a forged identity":  "GET /v1/greetings/Ada HTTP/1.1\nX-Forwarded-User: admin\nX-Forwarded-Client-Cert: x\nGrpc-Metadata-Authorization: Bearer x\n",
			"in the query":       "GET /v1/greetings/Ada?access_token=x HTTP/1.1\n",
			"in a cookie":        "GET /v1/greetings/Ada HTTP/1.1\nCookie: access_token=x\n",
			"a method in a list": "GET /v1/languages/en/phrases HTTP/1.1\n",
		} {
			a := w.one(head + "Host: x\n\n")
			require.Contains(t, []int{400, 401}, a.StatusCode, "%s: %s", name, a.text)
			if a.StatusCode == 401 {
				require.Contains(t, a.Header.Get("WWW-Authenticate"), "Bearer", name)
			}
			requireError(t, a, name)
		}
	})
}
