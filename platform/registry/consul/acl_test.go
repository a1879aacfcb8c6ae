package consul_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/registry/consul"
	"example.com/app/platform/registry/consul/consultest"
)

// policy is the least that a greeter needs, and a README can say: to be
// listed, and to find whom it calls.
const policy = `
service "greeter"   { policy = "write" }
service_prefix ""   { policy = "read" }
node_prefix ""      { policy = "read" }
`

const management = "5c1d7f6e-0000-4000-8000-000000000001"

// A guarded is an agent with ACLs that deny by default, and TLS that asks for
// the client's certificate.
type guarded struct {
	*consultest.Server
	t     *testing.T
	tls   api.TLSConfig // of a client it trusts
	admin *api.Client
}

func newGuarded(t *testing.T) *guarded {
	dir := t.TempDir()
	ca := newAuthority(t)
	client, server := ca.leaf(t, "app"), ca.leaf(t, "server.dc1.consul")
	for name, content := range map[string][]byte{"ca.pem": ca.pem, "cert.pem": server.cert, "key.pem": server.key} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	agent := consultest.Configured(t, consultest.Settings{
		HTTPS: true, Token: management,
		Config: fmt.Sprintf(`
			acl {
				enabled = true
				default_policy = "deny"
				tokens { initial_management = %q, agent = %q }
			}
			tls { https {
				ca_file = "%[3]s/ca.pem", cert_file = "%[3]s/cert.pem", key_file = "%[3]s/key.pem"
				verify_incoming = true
			} }`, management, management, dir),
	})
	g := &guarded{Server: agent, t: t, admin: agent.Client()}
	g.tls = api.TLSConfig{CAPem: ca.pem, CertPEM: client.cert, KeyPEM: client.key, Address: "server.dc1.consul"}
	return g
}

// api is how a client with a token in a file reaches the agent.
func (g *guarded) api(file string) *api.Config {
	return &api.Config{Address: g.HTTPS(), Scheme: "https", TLSConfig: g.tls, TokenFile: file}
}

// token makes one with some rules.
func (g *guarded) token(name, rules string) *api.ACLToken {
	g.t.Helper()
	p, _, err := g.admin.ACL().PolicyCreate(&api.ACLPolicy{Name: name, Rules: rules}, nil)
	require.NoError(g.t, err)
	token, _, err := g.admin.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{ID: p.ID}}}, nil)
	require.NoError(g.t, err)
	return token
}

func TestR9MinimalPolicyOverTLSIsEnoughAndNotLess(t *testing.T) {
	g := newGuarded(t)
	file := filepath.Join(t.TempDir(), "token")
	hand := func(token *api.ACLToken) { require.NoError(t, os.WriteFile(file, []byte(token.SecretID), 0o600)) }
	first := g.token("first", policy)
	hand(first)
	r, err := consul.New(consul.Config{API: g.api(file), TTL: 2 * time.Second, Hold: -1})
	require.NoError(t, err)
	fates, leave := register(t, r, greeter("g-0-host-1"))
	require.NoError(t, hear(t, fates, 20*time.Second))
	listed(t, r, "greeter", 10*time.Second, "g-0-host-1")

	// The token is replaced: a new one in the file, then the old one dies.
	hand(g.token("second", policy))
	_, err = g.admin.ACL().TokenDelete(first.AccessorID, nil)
	require.NoError(t, err)
	require.True(t, errs.Denied.Is(hear(t, fates, 20*time.Second)), "until the file is read again")
	recovered(t, fates, 20*time.Second)
	listed(t, r, "greeter", 10*time.Second, "g-0-host-1")
	require.NoError(t, leave())

	neighbour := api.AgentServiceRegistration{ID: "g2", Name: "greeter", Port: 1} // somebody to be hidden
	require.NoError(t, g.admin.Agent().ServiceRegister(&neighbour))
	for name, rules := range map[string]string{
		"no node":  `service_prefix "" { policy = "read" }`,
		"no right": ``,
	} {
		hand(g.token(name[3:], rules))
		blind, err := consul.New(consul.Config{API: g.api(file)})
		require.NoError(t, err)
		keep, stop := context.WithCancel(t.Context())
		for set, err := range blind.Watch(keep, "greeter") {
			require.Error(t, err, "%s: a set of %d", name, len(set))
			require.True(t, errs.Denied.Is(err), "%s: %v", name, err)
			break
		}
		stop()
		fates, _ := register(t, blind, greeter("g-0-host-3"))
		require.True(t, errs.Denied.Is(hear(t, fates, 10*time.Second)), name)
	}
}

func TestR9AgentThatIsNotTrustedIsNotTalkedTo(t *testing.T) {
	g := newGuarded(t)
	strange := newAuthority(t).leaf(t, "app")
	for name, wrong := range map[string]func(*api.TLSConfig){
		"CA":   func(c *api.TLSConfig) { c.CAPem = newAuthority(t).pem },
		"name": func(c *api.TLSConfig) { c.Address = "server.dc2.consul" },
		"us":   func(c *api.TLSConfig) { c.CertPEM, c.KeyPEM = strange.cert, strange.key },
	} {
		conf := g.api("")
		conf.Token = management
		wrong(&conf.TLSConfig)
		r, err := consul.New(consul.Config{API: conf})
		require.NoError(t, err)
		for _, err := range r.Watch(t.Context(), "greeter") {
			require.True(t, errs.Unavailable.Is(err), name)
			break
		}
	}
}

// An authority signs certificates.
type authority struct {
	pem  []byte
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

type pair struct{ cert, key []byte }

func newAuthority(t *testing.T) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), cert, key}
}

// leaf makes a certificate for a name on this host.
func (a *authority) leaf(t *testing.T, name string) pair {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return pair{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
}
