package networktest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func bytesTravelBothWays(t *testing.T, hosts Hosts) {
	a, b := pair(t, hosts, "a", "b")
	write(t, a, "ping")
	requireRead(t, b, "ping")
	write(t, b, "pong")
	requireRead(t, a, "pong")
}

func endsAgreeOnAddresses(t *testing.T, hosts Hosts) {
	l := listen(t, hosts.Host("b"), anywhere)
	a, b := join(t, hosts.Host("a"), l)
	require.Equal(t, l.Addr().String(), a.RemoteAddr().String())
	require.Equal(t, a.LocalAddr().String(), b.RemoteAddr().String())
	require.Equal(t, b.LocalAddr().String(), a.RemoteAddr().String())
	c, _ := join(t, hosts.Host("a"), l)
	require.NotEqual(t, a.LocalAddr().String(), c.LocalAddr().String(), "each dial has a port of its own")
}

func writtenBeforeCloseIsRead(t *testing.T, hosts Hosts) {
	a, b := pair(t, hosts, "a", "b")
	write(t, a, "last words")
	require.NoError(t, a.Close())
	requireRead(t, b, "last words")
	for range 2 {
		n, err := b.Read(make([]byte, 1))
		require.Zero(t, n)
		require.Equal(t, io.EOF, err, "not wrapped: io.Reader demands it")
	}
}

func closeEndsOwnCalls(t *testing.T, hosts Hosts) {
	a, _ := pair(t, hosts, "a", "b")
	errs := make(chan error)
	go func() { _, err := a.Read(make([]byte, 1)); errs <- err }()
	require.NoError(t, a.Close())
	requireOp(t, <-errs, "read", net.ErrClosed)
	_, err := a.Write([]byte("x"))
	requireOp(t, err, "write", net.ErrClosed)
	requireOp(t, a.Close(), "close", net.ErrClosed)
	require.ErrorIs(t, a.SetDeadline(noTime), net.ErrClosed)
}

func writingToGonePeerFails(t *testing.T, hosts Hosts) {
	a, b := pair(t, hosts, "a", "b")
	require.NoError(t, b.Close())
	var err error
	for err == nil { // over TCP the first write finds out for the second
		_, err = a.Write([]byte("x"))
	}
	require.True(t, isReset(err), "writing to a closed peer = %v, want EPIPE or ECONNRESET", err)
}

func connectionOutlivesListener(t *testing.T, hosts Hosts) {
	l := listen(t, hosts.Host("b"), anywhere)
	a, b := join(t, hosts.Host("a"), l)
	require.NoError(t, l.Close())
	write(t, a, "still here")
	requireRead(t, b, "still here")
}

// large is more than any buffer on the way holds.
const large = 16 << 20

func largeTransfer(t *testing.T, hosts Hosts) {
	a, b := pair(t, hosts, "a", "b")
	var all work
	for i, way := range []struct{ from, to net.Conn }{{a, b}, {b, a}} {
		sent := bytes.Repeat([]byte(fmt.Sprintf("%d: a line of an odd length\n", i)), large/27)
		all.Go(func() error { _, err := way.from.Write(sent); return err })
		all.Go(func() error {
			sum := sha256.New()
			if _, err := io.CopyN(sum, way.to, int64(len(sent))); err != nil {
				return err
			}
			if want := sha256.Sum256(sent); !bytes.Equal(sum.Sum(nil), want[:]) {
				return fmt.Errorf("direction %d: what arrived is not what was sent", i)
			}
			return nil
		})
	}
	require.NoError(t, all.Wait())
}

func writersDoNotMingle(t *testing.T, hosts Hosts) {
	const writers, size = 4, 1 << 20
	a, b := pair(t, hosts, "a", "b")
	var all work
	for i := range writers {
		all.Go(func() error { _, err := a.Write(bytes.Repeat([]byte{byte(i)}, size)); return err })
	}
	for range writers {
		record := make([]byte, size)
		_, err := io.ReadFull(b, record)
		require.NoError(t, err)
		require.Equal(t, size, bytes.Count(record, record[:1]), "one write, one piece")
	}
	require.NoError(t, all.Wait())
}

func manyConnections(t *testing.T, hosts Hosts) {
	const diallers = 100
	l := listen(t, hosts.Host("server"), anywhere)
	var echoes sync.WaitGroup
	echoes.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			echoes.Go(func() { _, _ = io.Copy(c, c); _ = c.Close() })
		}
	})
	var all work
	for i := range diallers {
		all.Go(func() error {
			return echo(t, hosts, fmt.Sprintf("client-%d", i), l.Addr().String())
		})
	}
	require.NoError(t, all.Wait())
	require.NoError(t, l.Close())
	echoes.Wait()
}

// echo says the host's name to an echoing server and hears it back.
func echo(t *testing.T, hosts Hosts, host, addr string) error {
	c, err := hosts.Host(host).Dial(within(t), addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, host); err != nil {
		return err
	}
	got := make([]byte, len(host))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != host {
		return fmt.Errorf("%s heard %q", host, got)
	}
	return nil
}

func requireOp(t *testing.T, err error, op string, want error) {
	t.Helper()
	require.ErrorIs(t, err, want)
	var oe *net.OpError
	require.ErrorAs(t, err, &oe)
	require.Equal(t, op, oe.Op)
}

func isReset(err error) bool {
	return is(err, syscall.ECONNRESET) || is(err, syscall.EPIPE)
}
