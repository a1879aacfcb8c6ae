// Package networktest is what every implementation of network.Network promises.
//
// A caller hands Run the world its network lives in; each promise is tried in a
// fresh one, with two or more hosts.
package networktest

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/network"
)

// Hosts is a network with several hosts in one process, as network.TCP and
// network.Memory are.
type Hosts interface {
	// Host is the view of a host, whose listeners take loopback addresses.
	Host(name string) network.Network
	// Crash cuts all the host has open; peers see a reset.
	Crash(host string)
	// Restore lets views made after the crash work.
	Restore(host string)
}

// A World runs body with fresh hosts. It fails the test where body leaves a
// goroutine behind; in virtual time it is a testing/synctest bubble.
type World func(t *testing.T, body func(t *testing.T, hosts Hosts))

// Run tries every promise in a world of its own.
func Run(t *testing.T, world World) {
	for _, promise := range []struct {
		name string
		body func(*testing.T, Hosts)
	}{
		{"bytes travel both ways", bytesTravelBothWays},
		{"both ends agree on their addresses", endsAgreeOnAddresses},
		{"what was written before a close is read, then the end", writtenBeforeCloseIsRead},
		{"a close ends its own reads and writes", closeEndsOwnCalls},
		{"writing to a peer that is gone fails", writingToGonePeerFails},
		{"an accepted connection outlives its listener", connectionOutlivesListener},
		{"a taken port is refused until it is free", takenPortIsRefused},
		{"a bad address is refused", badAddressIsRefused},
		{"nobody listening means refused", nobodyListeningMeansRefused},
		{"closing a listener ends Accept", closingListenerEndsAccept},
		{"a cancelled dial or listen fails", cancelledCallsFail},
		{"a read gives up at its deadline and can go on", readDeadline},
		{"a passed deadline beats waiting bytes", passedDeadlineBeatsBytes},
		{"a moved deadline counts, not the old one", movedDeadlineCounts},
		{"a writer waits for its reader until its deadline", writeDeadline},
		{"a large transfer arrives whole in both directions", largeTransfer},
		{"concurrent writers do not mingle", writersDoNotMingle},
		{"many hosts connect at once", manyConnections},
		{"HTTP runs over it", httpRuns},
		{"gRPC runs over it", grpcRuns},
		{"a crash resets the peers of a listener", crashResetsClients},
		{"a crash resets the peers of a dialler", crashResetsServers},
		{"a crash spares other hosts", crashSparesOthers},
		{"a crashed host neither listens nor dials nor answers", crashedHostIsSilent},
		{"a crash does not unsay what was closed in order", crashKeepsOrderlyEnd},
		{"a restored host works, what outlived the crash does not", restoredHostWorks},
	} {
		t.Run(promise.name, func(t *testing.T) { world(t, promise.body) })
	}
}

// anywhere is an address to listen on that every implementation has free.
const anywhere = "127.0.0.1:0"

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func listen(t *testing.T, n network.Network, addr string) net.Listener {
	t.Helper()
	l, err := n.Listen(within(t), addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// pair connects host a, which dials, to host b, which accepts.
func pair(t *testing.T, hosts Hosts, a, b string) (dialled, accepted net.Conn) {
	t.Helper()
	l := listen(t, hosts.Host(b), anywhere)
	dialled, accepted = join(t, hosts.Host(a), l)
	require.NoError(t, l.Close())
	return dialled, accepted
}

// join dials l from n and accepts.
func join(t *testing.T, n network.Network, l net.Listener) (dialled, accepted net.Conn) {
	t.Helper()
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, 1)
	go func() {
		c, err := l.Accept()
		results <- result{c, err}
	}()
	dialled, err := n.Dial(within(t), l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = dialled.Close() })
	r := <-results
	require.NoError(t, r.err)
	t.Cleanup(func() { _ = r.conn.Close() })
	deadline := time.Now().Add(patience)
	require.NoError(t, dialled.SetDeadline(deadline)) // a broken promise must not hang
	require.NoError(t, r.conn.SetDeadline(deadline))
	return dialled, r.conn
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	n, err := io.WriteString(c, s)
	require.NoError(t, err)
	require.Equal(t, len(s), n)
}

func requireRead(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	_, err := io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, want, string(got))
}
