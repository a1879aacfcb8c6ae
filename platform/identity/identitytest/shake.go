package identitytest

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/identity"
	"example.com/app/platform/network"
)

// A viewer reads what a Watch yields. It belongs to the goroutine of the test.
type viewer struct {
	t     *testing.T
	sets  chan identity.Certs
	leave func()
}

// watch begins to watch a role, until the test ends.
func watch(t *testing.T, s identity.Source, role string) *viewer {
	ctx, cancel := context.WithCancel(t.Context())
	v := &viewer{t: t, sets: make(chan identity.Certs)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for certs, err := range s.Watch(ctx, role) {
			if err != nil {
				t.Logf("watch %s: %v", role, err)
				continue
			}
			select {
			case v.sets <- certs:
			case <-ctx.Done():
			}
		}
	}()
	v.leave = func() { cancel(); <-done }
	t.Cleanup(v.leave)
	return v
}

// next returns what is yielded next.
func (v *viewer) next() identity.Certs {
	v.t.Helper()
	return v.until("certificates", func(identity.Certs) bool { return true })
}

// until returns the first that is as wanted.
func (v *viewer) until(what string, good func(identity.Certs) bool) identity.Certs {
	v.t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		select {
		case certs := <-v.sets:
			if good(certs) {
				return certs
			}
		case <-late.C:
			require.Failf(v.t, "too late", "no %s in %s", what, patience)
		}
	}
}

// Holding returns a workload that holds certs, whatever role they name.
func Holding(t testing.TB, certs identity.Certs) *identity.Workload {
	t.Helper()
	id, err := identity.Of(certs.Leaf.Leaf)
	require.NoError(t, err)
	w := identity.NewWorkload(identity.WorkloadConfig{Role: id.Role(), Source: Fixed(certs)})
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // it takes what it is given, and does not wait for more
	require.NoError(t, w.Run(ctx))
	require.NoError(t, w.Ready())
	return w
}

// A Result is what came of a connection on its two sides; nil: it worked.
type Result struct{ Server, Client error }

// Shake is Wire.Shake in memory.
func Shake(t testing.TB, server, client *tls.Config) Result {
	t.Helper()
	return Wire{network.NewMemory().Host("here"), "here:443"}.Shake(t, server, client)
}

// A Wire is where two sides meet.
type Wire struct {
	Network network.Network
	Addr    string // to listen on, as Network.Listen has it
}

// Shake connects, and lets a byte travel there and back, because a client that
// is refused learns of it after its own handshake.
func (w Wire) Shake(t testing.TB, server, client *tls.Config) Result {
	t.Helper()
	l, err := w.Network.Listen(t.Context(), w.Addr)
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	accepted := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			err = echo(tls.Server(conn, server))
		}
		accepted <- err
	}()
	conn, err := w.Network.Dial(t.Context(), l.Addr().String())
	require.NoError(t, err)
	result := Result{Client: greet(tls.Client(conn, client))}
	result.Server = <-accepted
	return result
}

// echo returns a byte to the client.
func echo(conn net.Conn) error {
	defer func() { _ = conn.Close() }()
	var b [1]byte
	if _, err := conn.Read(b[:]); err != nil {
		return err
	}
	_, err := conn.Write(b[:])
	return err
}

// greet sends a byte and wants it back.
func greet(conn net.Conn) error {
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte{42}); err != nil {
		return err
	}
	var b [1]byte
	_, err := conn.Read(b[:])
	return err
}
