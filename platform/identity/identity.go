// Package identity says who a workload is.
//
// A workload is an instance of a role. It holds a short-lived certificate whose
// SPIFFE id ends in its role, shows it on every connection, and asks the same
// of the other side. Where certificates come from is a Source: a CA in memory,
// files, or Consul's CA (package connect).
//
// The rule of the house is that the handshake says who is there and nothing
// more. Whether they may call is decided for each call, because a connection
// lives for days and a rule changes in between.
package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"iter"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"example.com/app/platform/errs"
)

// Certs is what a workload shows, and what it believes of others. It is shared
// and must not be changed.
type Certs struct {
	Leaf   *tls.Certificate // with its private key, and the intermediates that lead to a root
	Roots  *x509.CertPool   // that certificates of others must lead to
	Domain string           // trust domain, that of the leaf and of every peer
}

// A Source hands out certificates. Every implementation passes the suite in
// identitytest.
type Source interface {
	// Watch yields the certificates of a role: first as soon as there are any,
	// then after every change of leaf or roots, and in good time before the
	// leaf expires, until ctx ends or the loop is left. Each watch may have a
	// key of its own. What it yields fits: the key is the leaf's, the leaf
	// leads to a root, and its id names the role.
	//
	// An error means that there is nothing new just now: what was yielded stays
	// as good as it was, and Watch goes on trying. A Source may be watched from
	// many goroutines.
	Watch(ctx context.Context, role string) iter.Seq2[Certs, error]
}

// An ID names a workload: spiffe://<Domain><Path> (SPIFFE-ID sections 2 and
// 2.3).
type ID struct {
	Domain string // trust domain
	Path   string // as in /ns/default/dc/dc1/svc/greeter
}

// place is where in a trust domain the roles are. It is as Consul has it, so
// that certificates of any source look alike.
const place = "/ns/default/dc/dc1/svc/"

// For names a role in a trust domain. An error is of kind errs.Invalid: a name
// has letters, digits, dots, dashes and underscores.
func For(domain, role string) (ID, error) {
	td, err := spiffeid.TrustDomainFromString(domain)
	if err != nil {
		return ID{}, errs.Invalid.New("trust domain %q: %w", domain, err)
	}
	id, err := spiffeid.FromPath(td, place+role)
	if err != nil || strings.Contains(role, "/") {
		return ID{}, errs.Invalid.New("role %q can't be in a SPIFFE id: want letters, digits, dots, dashes, underscores", role)
	}
	return ID{td.Name(), id.Path()}, nil
}

// Parse reads the text form. An error is of kind errs.Invalid.
func Parse(text string) (ID, error) {
	id, err := spiffeid.FromString(text)
	if err != nil {
		return ID{}, errs.Invalid.New("SPIFFE id %q: %w", text, err)
	}
	return ID{id.TrustDomain().Name(), id.Path()}, nil
}

// String is the text form; empty for the zero ID.
func (id ID) String() string {
	if id == (ID{}) {
		return ""
	}
	return "spiffe://" + id.Domain + id.Path
}

// Role is what follows /svc/ at the end of the path. It is empty where the id
// names no role, or could be read as naming two.
func (id ID) Role() string {
	_, role, _ := strings.Cut(id.Path, "/svc/")
	if strings.Contains(role, "/") {
		return ""
	}
	return role
}

// tenant is what comes before the datacentre and the role: of two tenants of
// one trust domain each has roles of its own, which may have the same names.
func (id ID) tenant() string {
	prefix, _, _ := strings.Cut(id.Path, "/svc/")
	tenant, _, _ := strings.Cut(prefix, "/dc/")
	return tenant
}

// Of returns the id in a leaf certificate. A certificate with no URI, with more
// than one, or of a CA, names nobody (X509-SVID sections 2 and 4).
func Of(leaf *x509.Certificate) (ID, error) {
	if len(leaf.URIs) != 1 {
		return ID{}, errs.Unauthenticated.New("the certificate has %d URIs: a SPIFFE certificate has one, the id", len(leaf.URIs))
	}
	if leaf.IsCA || leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0 {
		return ID{}, errs.Unauthenticated.New("the certificate is a CA's: a workload shows a leaf")
	}
	id, err := spiffeid.FromURI(leaf.URIs[0])
	if err != nil {
		return ID{}, errs.Unauthenticated.New("SPIFFE id %q: %w", leaf.URIs[0], err)
	}
	return ID{id.TrustDomain().Name(), id.Path()}, nil
}

// Peer is who makes the call that ctx belongs to, as its connection proved. It
// reports false where the connection proved nothing. It believes the server
// that accepted the connection, which must be one with a Workload's
// credentials.
func Peer(ctx context.Context) (ID, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ID{}, false
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || info.SPIFFEID == nil {
		return ID{}, false
	}
	return ID{info.SPIFFEID.Host, info.SPIFFEID.Path}, true
}

// PeerOf is Peer for a connection of net/http, as in http.Request.TLS, which
// may be nil.
func PeerOf(state *tls.ConnectionState) (ID, bool) {
	if state == nil || len(state.PeerCertificates) == 0 {
		return ID{}, false
	}
	id, err := Of(state.PeerCertificates[0])
	return id, err == nil
}
