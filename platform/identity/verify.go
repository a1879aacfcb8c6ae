package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"

	"example.com/app/platform/errs"
)

// A demand is what a certificate must meet.
type demand struct {
	certs Certs            // whose roots and domain count
	own   ID               // of the workload that demands; zero: it is its own that is looked at
	role  string           // that the certificate must name; empty: any
	usage x509.ExtKeyUsage // what it is shown for
	now   time.Time
}

// meet returns whose chain it is: the leaf first, then what leads to a root.
// Nothing of it is believed before.
func (d demand) meet(chain []*x509.Certificate) (ID, error) {
	if len(chain) == 0 {
		return ID{}, errs.Unauthenticated.New("the peer shows no certificate: it must be a workload of %s", d.certs.Domain)
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: d.certs.Roots, Intermediates: between, CurrentTime: d.now, KeyUsages: []x509.ExtKeyUsage{d.usage},
	})
	if err != nil {
		return ID{}, d.explain(chain[0], err)
	}
	id, err := Of(chain[0])
	if err != nil {
		return ID{}, err
	}
	switch {
	case id.Domain != d.certs.Domain:
		return id, errs.Unauthenticated.New("%s is of another trust domain: want %s", id, d.certs.Domain)
	case d.own != ID{} && id.tenant() != d.own.tenant():
		return id, errs.Unauthenticated.New("%s is of another tenant than %s: a role there is not the role of that name here", id, d.own)
	case id.Role() == "":
		return id, errs.Unauthenticated.New("%s names no role: want an id that ends in /svc/ and one", id)
	case d.role != "" && id.Role() != d.role:
		return id, errs.Unauthenticated.New("%s answers where %s was dialled: the address is stale, or taken by another role", id, d.role)
	}
	return id, nil
}

// explain says why a chain leads to no root, and what can be done. The text
// stays the same while the reason does: it leaves out the time.
func (d demand) explain(leaf *x509.Certificate, err error) error {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		if d.now.Before(leaf.NotBefore) {
			return errs.Unauthenticated.New("the certificate is valid from %s on: compare the clocks of both hosts", stamp(leaf.NotBefore))
		}
		return errs.Unauthenticated.New("the certificate expired at %s: its workload gets no new one, or a clock is wrong", stamp(leaf.NotAfter))
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return errs.Unauthenticated.New("the certificate comes from a CA that is not trusted here: both sides need the same source of certificates: %w", err)
	}
	return errs.Unauthenticated.New("the certificate proves nothing: %w", err)
}

// stamp writes a time as people compare it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// check returns the leaf of certs and its id where they are fit to be shown by
// a role, so that a bad one fails here and not at each peer.
func (c Certs) check(role string, now time.Time) (*x509.Certificate, ID, error) {
	if c.Leaf == nil || c.Roots == nil {
		return nil, ID{}, errs.Internal.New("the source yields no leaf or no roots")
	}
	chain, err := parse(c.Leaf)
	if err != nil {
		return nil, ID{}, err
	}
	var id ID
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if id, err = (demand{certs: c, usage: usage, now: now}).meet(chain); err != nil {
			return nil, id, err
		}
	}
	if id.Role() != role {
		return nil, id, errs.Invalid.New("%s is not the certificate of %s: its id must end in /svc/%s", id, role, role)
	}
	return chain[0], id, nil
}

// parse reads the certificates of a chain.
func parse(leaf *tls.Certificate) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for _, der := range leaf.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, errs.Invalid.New("read certificate: %w", err)
		}
		chain = append(chain, c)
	}
	return chain, nil
}
