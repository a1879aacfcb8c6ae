// Package identitytest checks what every identity.Source promises.
//
// The rule is that a promise is tested once, for all who make it: Run takes a
// world with a source in it, and rotates what can be rotated.
package identitytest

import (
	"context"
	"crypto/x509"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/identity"
)

// A World is a source of certificates for the roles "greeter" and "gateway",
// and what may happen to it.
type World struct {
	Source identity.Source
	Domain string // that its ids should have; empty: any

	// Renew makes leaves change and leaves the roots alone. It may return
	// before they have. Nil: it can't be done from outside.
	Renew func()

	// RotateRoot puts a new root in the old one's place, as carefully as the
	// world can. It may return before anybody knows.
	RotateRoot func()
}

// patience is how long a change may take. A real CA limits how fast it signs.
const patience = 2 * time.Minute

var cases = []struct {
	name  string
	check func(*testing.T, World)
}{
	{"first-certificates-are-fit", first},
	{"leaf-is-renewed", renewal},
	{"root-is-rotated-in-any-order", rotation},
	{"watch-ends-with-its-context", ends},
	{"loop-may-be-left", left},
	{"watches-are-apart", apart},
}

// Run checks the source of the worlds that build makes, one for each promise.
func Run(t *testing.T, build func(*testing.T) World) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.check(t, build(t)) })
	}
}

// RunInBubble is Run in virtual time.
func RunInBubble(t *testing.T, build func(*testing.T) World) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.check(t, build(t)) })
		})
	}
}

func first(t *testing.T, w World) {
	greeter, gateway := watch(t, w.Source, "greeter"), watch(t, w.Source, "gateway")
	a, b := greeter.next(), gateway.next()
	if w.Domain != "" {
		require.Equal(t, w.Domain, a.Domain)
	}
	require.Equal(t, a.Domain, b.Domain)
	for role, c := range map[string]identity.Certs{"greeter": a, "gateway": b} {
		id, err := identity.Of(leaf(t, c))
		require.NoError(t, err)
		require.Equal(t, role, id.Role())
		require.Equal(t, a.Domain, id.Domain)
	}
	friends(t, a, b)
}

func renewal(t *testing.T, w World) {
	if w.Renew == nil {
		t.Skip("leaves of this source can't be renewed from outside")
	}
	greeter, gateway := watch(t, w.Source, "greeter"), watch(t, w.Source, "gateway")
	a, b := greeter.next(), gateway.next()
	w.Renew()
	again := greeter.until("another leaf", func(c identity.Certs) bool { return !leaf(t, c).Equal(leaf(t, a)) })
	require.False(t, leaf(t, again).NotAfter.Before(leaf(t, a).NotAfter), "the new leaf expires first")
	friends(t, again, b)
	friends(t, a, b)
}

// rotation looks at every order in which two workloads may learn of a new root.
func rotation(t *testing.T, w World) {
	greeter, gateway := watch(t, w.Source, "greeter"), watch(t, w.Source, "gateway")
	a, b := greeter.next(), gateway.next()
	w.RotateRoot()
	var between []identity.Certs // what greeter shows on the way
	latest := greeter.until("a leaf of the new root", func(c identity.Certs) bool {
		between = append(between, c)
		return !leads(t, c, a.Roots)
	})
	newest := gateway.until("a leaf of the new root", func(c identity.Certs) bool { return !leads(t, c, b.Roots) })
	for _, c := range append(between, latest) {
		friends(t, c, b)
		friends(t, c, newest)
	}
	friends(t, a, newest)
}

func ends(t *testing.T, w World) {
	watch(t, w.Source, "greeter").next()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range w.Source.Watch(ctx, "gateway") {
			cancel()
		}
	}()
	<-done
	for range w.Source.Watch(ctx, "gateway") {
		t.Error("a watch whose context has ended yields")
	}
}

func left(t *testing.T, w World) {
	for range 3 {
		for certs, err := range w.Source.Watch(t.Context(), "greeter") {
			if err == nil {
				require.NotNil(t, certs.Leaf)
				break
			}
		}
	}
}

func apart(t *testing.T, w World) {
	one, two := watch(t, w.Source, "greeter"), watch(t, w.Source, "greeter")
	a := one.next()
	one.leave()
	friends(t, a, two.next())
	w.RotateRoot()
	two.until("a leaf of the new root", func(c identity.Certs) bool { return !leads(t, c, a.Roots) })
}

// leaf is the certificate that is shown.
func leaf(t *testing.T, c identity.Certs) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(c.Leaf.Certificate[0])
	require.NoError(t, err)
	return cert
}

// leads reports whether the leaf of certs leads to roots without help.
func leads(t *testing.T, certs identity.Certs, roots *x509.CertPool) bool {
	_, err := leaf(t, certs).Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}

// friends checks that two workloads talk, whoever of them calls.
func friends(t *testing.T, a, b identity.Certs) {
	t.Helper()
	for _, pair := range [][2]identity.Certs{{a, b}, {b, a}} {
		server, client := Holding(t, pair[0]), Holding(t, pair[1])
		id, err := identity.Of(leaf(t, pair[0]))
		require.NoError(t, err)
		got := Shake(t, server.ServerTLS(), client.ClientTLS(id.Role()))
		require.NoError(t, got.Server)
		require.NoError(t, got.Client)
	}
}

// Fixed is a Source of certificates that never change.
type Fixed identity.Certs

// Watch implements identity.Source.
func (f Fixed) Watch(ctx context.Context, _ string) iter.Seq2[identity.Certs, error] {
	return func(yield func(identity.Certs, error) bool) {
		if yield(identity.Certs(f), nil) {
			<-ctx.Done()
		}
	}
}
