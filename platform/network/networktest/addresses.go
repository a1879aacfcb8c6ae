package networktest

import (
	"context"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func takenPortIsRefused(t *testing.T, hosts Hosts) {
	h := hosts.Host("a")
	l := listen(t, h, anywhere)
	addr := l.Addr().String()
	_, err := h.Listen(within(t), addr)
	requireOp(t, err, "listen", syscall.EADDRINUSE)
	require.NoError(t, l.Close())
	again := listen(t, h, addr)
	require.Equal(t, addr, again.Addr().String())
}

func badAddressIsRefused(t *testing.T, hosts Hosts) {
	h := hosts.Host("a")
	for _, addr := range []string{"a", "127.0.0.1:-1", "127.0.0.1:65536", "127.0.0.1:no-such-port", "elsewhere.invalid:0"} {
		l, err := h.Listen(within(t), addr)
		if !isOp(err, "listen") {
			require.Failf(t, "listened", "Listen(%q) = %v, %v, want a *net.OpError", addr, l, err)
		}
	}
	for _, addr := range []string{"a", "127.0.0.1:-1", "127.0.0.1:65536", "127.0.0.1:no-such-port"} {
		c, err := h.Dial(within(t), addr)
		if !isOp(err, "dial") {
			require.Failf(t, "dialled", "Dial(%q) = %v, %v, want a *net.OpError", addr, c, err)
		}
	}
}

func nobodyListeningMeansRefused(t *testing.T, hosts Hosts) {
	l := listen(t, hosts.Host("b"), anywhere)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	_, err := hosts.Host("a").Dial(within(t), addr)
	requireOp(t, err, "dial", syscall.ECONNREFUSED)
}

func closingListenerEndsAccept(t *testing.T, hosts Hosts) {
	l := listen(t, hosts.Host("a"), anywhere)
	errs := make(chan error)
	go func() { _, err := l.Accept(); errs <- err }()
	require.NoError(t, l.Close())
	requireOp(t, <-errs, "accept", net.ErrClosed)
	_, err := l.Accept()
	requireOp(t, err, "accept", net.ErrClosed)
	requireOp(t, l.Close(), "close", net.ErrClosed)
}

func cancelledCallsFail(t *testing.T, hosts Hosts) {
	l := listen(t, hosts.Host("b"), anywhere)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := hosts.Host("a").Dial(ctx, l.Addr().String())
	requireOp(t, err, "dial", context.Canceled)
	late, stop := context.WithTimeout(t.Context(), 0)
	defer stop()
	_, err = hosts.Host("a").Dial(late, l.Addr().String())
	require.True(t, isOp(err, "dial") && timeout(err), "dial after its deadline = %v, want a timeout", err)
}
