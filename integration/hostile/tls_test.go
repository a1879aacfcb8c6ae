package hostile

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"example.com/app/platform/app"
	"example.com/app/platform/edge"
	"example.com/app/platform/network"
	"example.com/app/platform/registry"
)

// encrypted is a network whose listeners speak TLS as the edge does.
type encrypted struct {
	network.Network
	config *tls.Config
}

func (e encrypted) Listen(ctx context.Context, addr string) (net.Listener, error) {
	ln, err := e.Network.Listen(ctx, addr)
	if err != nil {
		return nil, err
	}
	return tls.NewListener(ln, e.config), nil
}

// overTLS runs a test on loopback with the gateway behind TLS.
func overTLS(t *testing.T, test func(*testing.T, *world)) {
	t.Helper()
	config, err := edge.NewTLS(edge.TLSConfig{GetCertificate: certificate(t)})
	require.NoError(t, err)
	tcp := new(network.TCP)
	w := newWorld(t, app.One(registry.NewMemory().Host("here"), tcp), app.Config{
		GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", Edge: encrypted{tcp, config},
	})
	test(t, w)
}

// certificate makes one that its own key has signed.
func certificate(t *testing.T) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	now := time.Now()
	template := x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"gateway"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	require.NoError(t, err)
	made := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return made, nil }
}

// secure dials the gateway over TLS.
func (w *world) secure(ctx context.Context, protocol string) (net.Conn, error) {
	c, err := w.net.Dial(ctx, w.where["gateway"])
	if err != nil {
		return nil, err
	}
	s := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}})
	if err := s.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return s, nil
}

// browser asks the gateway over HTTP/2.
func (w *world) browser() *http.Client {
	t := &http.Transport{
		DialTLSContext:    func(ctx context.Context, _, _ string) (net.Conn, error) { return w.secure(ctx, "h2") },
		ForceAttemptHTTP2: true,
	}
	w.t.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t, Timeout: patience}
}

// page asks for a greeting, and says what was wrong.
func page(c *http.Client) string {
	res, err := c.Get("https://gateway/v1/greetings/Ada")
	if err != nil {
		return err.Error()
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK || res.ProtoMajor != 2 {
		return res.Proto + " " + res.Status
	}
	return ""
}

func TestHT14TheGatewaySpeaksHTTP2(t *testing.T) {
	bin := h2spec(t)
	overTLS(t, func(t *testing.T, w *world) {
		requireSpec(t, bin, w.where["gateway"], 138, "-t", "-k", "--path", "/docs/")
	})
}

// TestHT11FloodsOfHTTP2DoNotReachOtherBrowsers is the twin of the one for gRPC,
// with the HTTP/2 of net/http.
func TestHT11FloodsOfHTTP2DoNotReachOtherBrowsers(t *testing.T) {
	overTLS(t, func(t *testing.T, w *world) {
		browser := w.browser()
		require.Empty(t, page(browser))
		goroutines, memory := runtime.NumGoroutine(), inUse()
		report := newReport()
		for _, f := range floods() {
			report.run(t, f, crowd{
				dial:  func(ctx context.Context) (net.Conn, error) { return w.secure(ctx, "h2") },
				begin: []string{":scheme", "https", ":path", "/v1/greetings", "content-type", "application/json"},
				ask:   func() string { return page(browser) },
			})
			require.Less(t, inUse(), memory+256<<20, f.name)
		}
		t.Log(report)
		browser.CloseIdleConnections()
		w.eventually("goroutines are back", func() bool { return runtime.NumGoroutine() <= goroutines+20 })
		require.Less(t, inUse(), memory+64<<20)
	})
}

func TestHT10TheGatewayHasLimitsForHTTP2(t *testing.T) {
	overTLS(t, func(t *testing.T, w *world) {
		c, err := w.secure(t.Context(), "h2")
		require.NoError(t, err)
		defer c.Close()
		newAttacker(c)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
		f, err := http2.NewFramer(nil, c).ReadFrame()
		require.NoError(t, err)
		settings, ok := f.(*http2.SettingsFrame)
		require.True(t, ok)
		for id, most := range map[http2.SettingID]uint32{
			http2.SettingMaxConcurrentStreams: 1000, http2.SettingMaxHeaderListSize: 65 << 10, http2.SettingInitialWindowSize: 1 << 20,
		} {
			v, ok := settings.Value(id)
			require.True(t, ok, id)
			require.LessOrEqual(t, v, most, id)
		}
	})
}

// TestAU11TheEdgeOffersGoodTLSAlone asks sslscan, where it is installed, and
// tries by itself what must not work.
func TestAU11TheEdgeOffersGoodTLSAlone(t *testing.T) {
	overTLS(t, func(t *testing.T, w *world) {
		for _, bad := range []*tls.Config{
			{MaxVersion: tls.VersionTLS11},
			{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}},
			{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256}},
			{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}},
		} {
			bad.InsecureSkipVerify = true
			c, err := w.net.Dial(t.Context(), w.where["gateway"])
			require.NoError(t, err)
			require.Error(t, tls.Client(c, bad).HandshakeContext(t.Context()))
			_ = c.Close()
		}
		bin, err := exec.LookPath("sslscan")
		if err != nil || testing.Short() {
			t.Skip("sslscan is asked where it is installed (apt-get install sslscan), and not under -short")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var out bytes.Buffer
		cmd := exec.CommandContext(ctx, bin, "--no-colour", w.where["gateway"])
		cmd.Stdout, cmd.Stderr = &out, &out
		require.NoError(t, cmd.Run(), out.String())
		text := out.String()
		t.Log(text)
		for _, off := range []string{"SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"} {
			require.Regexp(t, off+`\s+disabled`, text)
		}
		for _, on := range []string{"TLSv1.2", "TLSv1.3"} {
			require.Regexp(t, on+`\s+enabled`, text)
		}
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "Accepted") || strings.HasPrefix(line, "Preferred") {
				require.Regexp(t, `GCM|CHACHA20`, line, "AEAD alone")
			}
		}
		for _, weak := range []string{"CBC", "3DES", "RC4", "NULL", "EXP-", "vulnerable to heartbleed\n"} {
			if weak == "vulnerable to heartbleed\n" {
				require.NotRegexp(t, `(?m)^TLSv1\.\d vulnerable to heartbleed`, text)
				continue
			}
			require.NotContains(t, text, weak)
		}
	})
}
