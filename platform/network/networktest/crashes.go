package networktest

import (
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/network"
)

func crashResetsClients(t *testing.T, hosts Hosts) {
	a, b := pair(t, hosts, "a", "b")
	requireReset(t, hosts, "b", a, b)
}

func crashResetsServers(t *testing.T, hosts Hosts) {
	a, b := pair(t, hosts, "a", "b")
	requireReset(t, hosts, "a", b, a)
}

// requireReset crashes a host and has both ends notice.
func requireReset(t *testing.T, hosts Hosts, host string, peer, own net.Conn) {
	t.Helper()
	peerErr, ownErr := make(chan error), make(chan error)
	go func() { _, err := peer.Read(make([]byte, 1)); peerErr <- err }()
	go func() { _, err := own.Read(make([]byte, 1)); ownErr <- err }()
	hosts.Crash(host)
	requireOp(t, <-peerErr, "read", syscall.ECONNRESET)
	requireOp(t, <-ownErr, "read", net.ErrClosed)
	_, err := peer.Write([]byte("x"))
	require.True(t, isReset(err), "writing after a reset = %v, want EPIPE or ECONNRESET", err)
	require.NoError(t, peer.Close())
}

func crashSparesOthers(t *testing.T, hosts Hosts) {
	l := listen(t, hosts.Host("b"), anywhere)
	a, b := join(t, hosts.Host("a"), l)
	victim, accepted := join(t, hosts.Host("c"), l)
	hosts.Crash("c")
	_, err := accepted.Read(make([]byte, 1))
	requireOp(t, err, "read", syscall.ECONNRESET)
	_, err = victim.Write([]byte("x"))
	requireOp(t, err, "write", net.ErrClosed)
	write(t, a, "unharmed")
	requireRead(t, b, "unharmed")
	join(t, hosts.Host("a"), l)
}

func crashedHostIsSilent(t *testing.T, hosts Hosts) {
	b, other := hosts.Host("b"), hosts.Host("a")
	l, elsewhere := listen(t, b, anywhere), listen(t, other, anywhere)
	errs := make(chan error)
	go func() { _, err := l.Accept(); errs <- err }()
	hosts.Crash("b")
	requireOp(t, <-errs, "accept", net.ErrClosed)
	_, err := other.Dial(within(t), l.Addr().String())
	requireOp(t, err, "dial", syscall.ECONNREFUSED)
	for made, n := range map[string]network.Network{"before": b, "after": hosts.Host("b")} {
		_, err = n.Listen(within(t), anywhere)
		require.True(t, isOp(err, "listen") && is(err, syscall.ENETDOWN), "view made %s the crash: Listen = %v", made, err)
		_, err = n.Dial(within(t), elsewhere.Addr().String())
		require.True(t, isOp(err, "dial") && is(err, syscall.ENETDOWN), "view made %s the crash: Dial = %v", made, err)
	}
	hosts.Crash("b") // crashing twice is crashing once
}

func crashKeepsOrderlyEnd(t *testing.T, hosts Hosts) {
	a, b := pair(t, hosts, "a", "b")
	write(t, b, "goodbye")
	require.NoError(t, b.Close())
	hosts.Crash("b")
	requireRead(t, a, "goodbye")
	_, err := a.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
}

func restoredHostWorks(t *testing.T, hosts Hosts) {
	before := hosts.Host("b")
	l := listen(t, before, anywhere)
	hosts.Crash("b")
	during := hosts.Host("b")
	hosts.Restore("b")
	_, err := before.Listen(within(t), anywhere)
	require.ErrorIs(t, err, syscall.ENETDOWN, "the old incarnation listens")
	again := listen(t, hosts.Host("b"), l.Addr().String())
	a, b := join(t, hosts.Host("a"), again)
	write(t, a, "welcome back")
	requireRead(t, b, "welcome back")
	listen(t, during, anywhere)
}
