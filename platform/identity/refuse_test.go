package identity_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net/url"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/identity"
	"example.com/app/platform/identity/identitytest"
	"example.com/app/platform/network"
)

// issued returns certificates of a role, as a watch of a CA yields them.
func issued(t *testing.T, ca identity.Source, role string) identity.Certs {
	t.Helper()
	for certs, err := range ca.Watch(t.Context(), role) {
		require.NoError(t, err)
		return certs
	}
	return identity.Certs{}
}

// showing is a client that shows leaf, whatever it holds; nil: none.
func showing(w *identity.Workload, leaf *tls.Certificate) *tls.Config {
	c := w.ClientTLS("greeter")
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if leaf == nil {
			return &tls.Certificate{}, nil
		}
		return leaf, nil
	}
	return c
}

// selfSigned is a leaf with the id of gateway that nobody vouches for.
func selfSigned(t *testing.T) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		URIs:        []*url.URL{{Scheme: "spiffe", Host: "app.internal", Path: "/ns/default/dc/dc1/svc/gateway"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	require.NoError(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestAU10WhoProvesNothingIsRefused(t *testing.T) {
	nets(t, func(t *testing.T, n network.Network, addr string) {
		var ago time.Duration
		ca := identity.NewMemory(identity.MemoryConfig{Now: func() time.Time { return time.Now().Add(-ago) }})
		ago = 25 * time.Hour
		expired := issued(t, ca, "gateway").Leaf
		ago = 0
		greeter, gateway := issued(t, ca, "greeter"), issued(t, ca, "gateway")
		server, client := identitytest.Holding(t, greeter), identitytest.Holding(t, gateway)
		foreign := issued(t, identity.NewMemory(identity.MemoryConfig{}), "gateway").Leaf
		wire := identitytest.Wire{Network: n, Addr: addr}
		require.Equal(t, identitytest.Result{}, wire.Shake(t, server.ServerTLS(), showing(client, gateway.Leaf)), "who proves it gets in")
		for name, c := range map[string]struct {
			leaf *tls.Certificate
			want string
		}{
			"none":        {nil, "client didn't provide a certificate"},
			"foreign CA":  {foreign, "comes from a CA that is not trusted here"},
			"self-signed": {selfSigned(t), "comes from a CA that is not trusted here"},
			"expired":     {expired, "the certificate expired at "},
		} {
			got := wire.Shake(t, server.ServerTLS(), showing(client, c.leaf))
			require.ErrorContains(t, got.Server, c.want, name)
			require.Error(t, got.Client, name)
		}
		// The right CA and the wrong identity: of the role that was dialled.
		got := wire.Shake(t, server.ServerTLS(), client.ClientTLS("phrasebook"))
		require.ErrorContains(t, got.Client, "/svc/greeter answers where phrasebook was dialled")
		require.Error(t, got.Server)
	})
}

// A root that is trusted vouches for a domain of its own and no other: two
// domains may know each other's roots.
func TestAU10AForeignTrustDomainIsRefused(t *testing.T) {
	nets(t, func(t *testing.T, n network.Network, addr string) {
		wire := identitytest.Wire{Network: n, Addr: addr}
		ours, theirs := identity.NewMemory(identity.MemoryConfig{}), identity.NewMemory(identity.MemoryConfig{Domain: "elsewhere.example"})
		holding := func(ca *identity.Memory, role string) *identity.Workload {
			certs := issued(t, ca, role)
			certs.Roots = x509.NewCertPool()
			for _, known := range []*identity.Memory{ours, theirs} {
				files, err := known.Issue(role)
				require.NoError(t, err)
				require.True(t, certs.Roots.AppendCertsFromPEM(files.CA))
			}
			return identitytest.Holding(t, certs)
		}
		got := wire.Shake(t, holding(ours, "greeter").ServerTLS(), holding(ours, "gateway").ClientTLS("greeter"))
		require.Equal(t, identitytest.Result{}, got)
		client := showing(holding(ours, "gateway"), issued(t, theirs, "gateway").Leaf)
		got = wire.Shake(t, holding(ours, "greeter").ServerTLS(), client)
		require.ErrorContains(t, got.Server, "spiffe://elsewhere.example/ns/default/dc/dc1/svc/gateway is of another trust domain: want app.internal")
		require.Error(t, got.Client)
		got = wire.Shake(t, holding(theirs, "greeter").ServerTLS(), holding(ours, "gateway").ClientTLS("greeter"))
		require.ErrorContains(t, got.Client, "is of another trust domain: want app.internal")
		require.Error(t, got.Server)
	})
}

// A tickets counts what a client was given to resume with.
type tickets struct {
	tls.ClientSessionCache
	put atomic.Int64
}

func (s *tickets) Put(key string, state *tls.ClientSessionState) {
	s.put.Add(1)
	s.ClientSessionCache.Put(key, state)
}

func TestAU10ASessionIsNeverResumed(t *testing.T) {
	ca := identity.NewMemory(identity.MemoryConfig{})
	server, client := identitytest.Holding(t, issued(t, ca, "greeter")), identitytest.Holding(t, issued(t, ca, "gateway"))
	cache := &tickets{ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	eager := client.ClientTLS("greeter")
	eager.SessionTicketsDisabled, eager.ClientSessionCache, eager.ServerName = false, cache, "greeter"
	for range 2 {
		require.Equal(t, identitytest.Result{}, identitytest.Shake(t, server.ServerTLS(), eager))
	}
	require.Zero(t, cache.put.Load(), "the server gave a ticket")
}

// Even where a server hands out tickets against the rule, who is refused now
// does not get in by one.
func TestAU10AResumedSessionIsVerifiedAgain(t *testing.T) {
	ca, other := identity.NewMemory(identity.MemoryConfig{}), identity.NewMemory(identity.MemoryConfig{})
	greeter := issued(t, ca, "greeter")
	server, client := identitytest.Holding(t, greeter), identitytest.Holding(t, issued(t, ca, "gateway"))
	distrusting := identitytest.Holding(t, issued(t, other, "greeter")) // believes another CA
	lax := server.ServerTLS()
	lax.SessionTicketsDisabled = false
	cache := &tickets{ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	eager := client.ClientTLS("greeter")
	eager.SessionTicketsDisabled, eager.ClientSessionCache, eager.ServerName = false, cache, "greeter"
	var resumed atomic.Bool
	verify := lax.VerifyConnection
	lax.VerifyConnection = func(s tls.ConnectionState) error {
		resumed.Store(s.DidResume)
		return verify(s)
	}
	for range 2 {
		require.Equal(t, identitytest.Result{}, identitytest.Shake(t, lax, eager))
	}
	require.True(t, resumed.Load(), "the session was not resumed, so this shows nothing")
	verify = distrusting.ServerTLS().VerifyConnection
	got := identitytest.Shake(t, lax, eager)
	require.True(t, resumed.Load())
	require.ErrorContains(t, got.Server, "not trusted here")
}

func TestNoCallIsLostWhileLeafAndRootAreRotated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := identity.NewMemory(identity.MemoryConfig{})
		greeter, gateway := hold(t, ca, "greeter"), hold(t, ca, "gateway")
		n := network.NewMemory().Host("here")
		l := listen(t, n, "here:7000")
		serve(t, l, greeter.Server()).slow = time.Minute / 2
		long := client(t, n, "here:7000", gateway.Client("greeter"))
		done := make(chan error, 200)
		for i := range 100 { // 50 hours: two lives of a leaf
			time.Sleep(30 * time.Minute)
			if i%30 == 10 {
				require.NoError(t, ca.RotateRoot())
			}
			fresh := client(t, n, "here:7000", gateway.Client("greeter"))
			go func() { done <- ask(t, long) }()
			go func() { done <- ask(t, fresh) }()
		}
		for range 200 {
			require.NoError(t, <-done)
		}
	})
}
