package networktest

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// soon is how long a test lets a deadline be away.
const soon = 50 * time.Millisecond

var noTime, longAgo = time.Time{}, time.Unix(1, 0)

func readDeadline(t *testing.T, hosts Hosts) {
	a, b := pair(t, hosts, "a", "b")
	start := time.Now()
	require.NoError(t, a.SetReadDeadline(start.Add(soon)))
	for range 2 {
		_, err := a.Read(make([]byte, 1))
		requireTimeout(t, err, "read")
		require.GreaterOrEqual(t, time.Since(start), soon)
	}
	require.NoError(t, a.SetReadDeadline(time.Now().Add(patience)))
	write(t, b, "late")
	requireRead(t, a, "late")
}

func passedDeadlineBeatsBytes(t *testing.T, hosts Hosts) {
	a, b := pair(t, hosts, "a", "b")
	write(t, b, "12")
	requireRead(t, a, "1") // so that "2" has arrived as well
	require.NoError(t, a.SetReadDeadline(longAgo))
	_, err := a.Read(make([]byte, 1))
	requireTimeout(t, err, "read")
	require.NoError(t, a.SetReadDeadline(noTime))
	requireRead(t, a, "2")
	require.NoError(t, a.SetWriteDeadline(longAgo))
	_, err = a.Write([]byte("x"))
	requireTimeout(t, err, "write")
	require.NoError(t, a.SetWriteDeadline(noTime))
	write(t, a, "y")
	requireRead(t, b, "y")
}

func movedDeadlineCounts(t *testing.T, hosts Hosts) {
	a, b := pair(t, hosts, "a", "b")
	for range 100 { // as net/http does between requests; the old deadline must not fire late
		require.NoError(t, a.SetReadDeadline(longAgo))
		require.NoError(t, a.SetReadDeadline(time.Now().Add(patience)))
		write(t, b, "x")
		requireRead(t, a, "x")
	}
	errs := make(chan error)
	go func() { _, err := a.Read(make([]byte, 1)); errs <- err }()
	require.NoError(t, a.SetReadDeadline(longAgo)) // wakes a read that has begun
	requireTimeout(t, <-errs, "read")
}

func writeDeadline(t *testing.T, hosts Hosts) {
	a, b := pair(t, hosts, "a", "b")
	start := time.Now()
	require.NoError(t, a.SetWriteDeadline(start.Add(soon)))
	_, err := a.Write(make([]byte, large)) // nobody reads
	requireTimeout(t, err, "write")
	require.GreaterOrEqual(t, time.Since(start), soon)
	require.NoError(t, a.Close())
	n, err := io.Copy(io.Discard, b)
	require.NoError(t, err)
	require.Positive(t, n, "what was taken before the deadline still arrives")
	require.Less(t, n, int64(large))
}

func requireTimeout(t *testing.T, err error, op string) {
	t.Helper()
	requireOp(t, err, op, os.ErrDeadlineExceeded)
	require.True(t, timeout(err), "%v is no timeout", err)
}

func timeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func isOp(err error, op string) bool {
	var oe *net.OpError
	return errors.As(err, &oe) && oe.Op == op
}

func is(err, target error) bool { return errors.Is(err, target) }
