package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/url"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"example.com/app/platform/errs"
)

// backdate is how much before its birth a certificate is valid, for hosts whose
// clocks differ.
const backdate = time.Hour

// An authority is a root of a Memory and the key it signs with. It does not
// change, but for until.
type authority struct {
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	cross *x509.Certificate // the same name and key, signed by the root before; nil: there was none
	until time.Time         // when the last of its leaves is gone; zero: it still signs
}

// A term is a time in which a certificate is valid.
type term struct{ from, to time.Time }

// newAuthority makes a root, and lets the one before vouch for it, so that who
// knows only that one believes the new leaves too.
func newAuthority(domain string, t term, before *authority) (*authority, error) {
	td, err := spiffeid.TrustDomainFromString(domain)
	if err != nil {
		return nil, errs.Invalid.New("trust domain %q: %w", domain, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key of CA: %w", err)
	}
	form := &x509.Certificate{
		// The name is the key's own: two roots of one name would be mistaken
		// for each other where chains are built.
		Subject:   pkix.Name{CommonName: fmt.Sprintf("%s CA %s", domain, t.from.UTC().Format("20060102-150405.000"))},
		NotBefore: t.from, NotAfter: t.to, URIs: []*url.URL{td.ID().URL()},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	a := &authority{key: key}
	if a.cert, err = sign(form, key, form, key); err != nil {
		return nil, err
	}
	if before == nil {
		return a, nil
	}
	form.NotAfter = before.cert.NotAfter
	form.SubjectKeyId = a.cert.SubjectKeyId
	a.cross, err = sign(form, key, before.cert, before.key)
	return a, err
}

// sign makes a certificate of a form for the key of its subject.
func sign(form *x509.Certificate, subject *ecdsa.PrivateKey, by *x509.Certificate, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, form, by, &subject.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// issue makes a leaf for a workload. It has no intermediates yet.
func (a *authority) issue(id ID, t term) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key of %s: %w", id, err)
	}
	leaf, err := sign(&x509.Certificate{
		NotBefore: t.from, NotAfter: t.to, URIs: []*url.URL{{Scheme: "spiffe", Host: id.Domain, Path: id.Path}},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, key, a.cert, a.key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}
