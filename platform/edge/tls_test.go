package edge_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/edge"
)

// A folder holds a certificate and its key.
type folder struct{ cert, key string }

// write puts a new pair into the folder.
func (f folder) write(t testing.TB, serial int64) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "app.example.com"}, DNSNames: []string{"app.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(f.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(f.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	changed := time.Unix(serial*1000, 0) // the clock of a file system may stand still between two writes
	require.NoError(t, os.Chtimes(f.cert, changed, changed))
}

func newFolder(t testing.TB) folder {
	dir := t.TempDir()
	return folder{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
}

// shake makes a connection in memory and tells what was agreed upon.
func shake(t testing.TB, server *tls.Config, client *tls.Config) (tls.ConnectionState, error) {
	a, b := net.Pipe()
	client.InsecureSkipVerify, client.ServerName = true, "app.example.com"
	done := make(chan error, 1)
	s := tls.Server(a, server)
	go func() { done <- s.HandshakeContext(t.Context()) }()
	c := tls.Client(b, client)
	err := c.HandshakeContext(t.Context())
	state := c.ConnectionState()
	_, _ = b.Close(), a.Close()
	return state, errors.Join(err, <-done)
}

func TestAU11TheEdgeSpeaksTLS12WithAEADAnd13(t *testing.T) {
	f := newFolder(t)
	f.write(t, 1)
	cfg, err := edge.NewTLS(edge.TLSConfig{Cert: f.cert, Key: f.key})
	require.NoError(t, err)

	require.Equal(t, uint16(tls.VersionTLS12), cfg.MinVersion, "it is the suites alone that keep older ones out otherwise")

	state, err := shake(t, cfg, &tls.Config{NextProtos: []string{"http/1.1", "h2"}})
	require.NoError(t, err)
	require.Equal(t, uint16(tls.VersionTLS13), state.Version)
	require.Equal(t, "h2", state.NegotiatedProtocol)
	state, err = shake(t, cfg, &tls.Config{MaxVersion: tls.VersionTLS12})
	require.NoError(t, err)
	require.Equal(t, uint16(tls.VersionTLS12), state.Version)
	_, err = shake(t, cfg, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	require.Error(t, err)

	aead := []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	}
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		_, err := shake(t, cfg, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID}})
		want := false
		for _, id := range aead {
			want = want || id == suite.ID
		}
		require.Equal(t, want, err == nil, suite.Name)
	}
}

func TestNewFilesAreShownAndBrokenOnesAreNot(t *testing.T) {
	f := newFolder(t)
	f.write(t, 1)
	now := time.Unix(2e9, 0)
	log := new(bytes.Buffer)
	cfg, err := edge.NewTLS(edge.TLSConfig{Cert: f.cert, Key: f.key, Log: slog.New(slog.NewTextHandler(log, nil)), Now: func() time.Time { return now }})
	require.NoError(t, err)
	serial := func() int64 {
		now = now.Add(2 * time.Second)
		state, err := shake(t, cfg, &tls.Config{})
		require.NoError(t, err)
		return state.PeerCertificates[0].SerialNumber.Int64()
	}
	require.Equal(t, int64(1), serial())
	f.write(t, 2)
	require.Equal(t, int64(2), serial())
	require.Contains(t, log.String(), "new certificate")

	require.NoError(t, os.WriteFile(f.cert, []byte("half of it"), 0o600))
	require.Equal(t, int64(2), serial(), "the last good one")
	require.Contains(t, log.String(), "keep the old certificate")
	f.write(t, 3)
	require.NoError(t, os.Chmod(f.key, 0o640))
	require.Equal(t, int64(2), serial())
	require.NoError(t, os.Chmod(f.key, 0o600))
	require.Equal(t, int64(3), serial())
	require.NoError(t, os.Remove(f.cert))
	require.Equal(t, int64(3), serial())
}

func TestAKeyThatOthersMayReadIsRefused(t *testing.T) {
	f := newFolder(t)
	f.write(t, 1)
	require.NoError(t, os.Chmod(f.key, 0o644))
	_, err := edge.NewTLS(edge.TLSConfig{Cert: f.cert, Key: f.key})
	require.ErrorContains(t, err, "chmod 600")
	_, err = edge.NewTLS(edge.TLSConfig{Cert: f.cert, Key: f.cert})
	require.ErrorContains(t, err, "read the certificate")
	_, err = edge.NewTLS(edge.TLSConfig{})
	require.Error(t, err)
}

func TestTheHookOfACMEIsAskedForEachHandshake(t *testing.T) {
	f := newFolder(t)
	f.write(t, 7)
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	require.NoError(t, err)
	var names []string
	cfg, err := edge.NewTLS(edge.TLSConfig{
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			names = append(names, hello.ServerName)
			return &pair, nil
		},
		Protocols: []string{"acme-tls/1"},
	})
	require.NoError(t, err)
	state, err := shake(t, cfg, &tls.Config{NextProtos: []string{"acme-tls/1"}})
	require.NoError(t, err)
	require.Equal(t, "acme-tls/1", state.NegotiatedProtocol)
	require.Equal(t, []string{"app.example.com"}, names)
}
