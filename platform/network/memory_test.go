package network_test

import (
	"context"
	"net"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/network"
)

// bubble runs body in virtual time with a memory network.
func bubble(t *testing.T, body func(t *testing.T, m *network.Memory)) {
	synctest.Test(t, func(t *testing.T) { body(t, network.NewMemory()) })
}

func listen(t *testing.T, n network.Network, addr string) net.Listener {
	t.Helper()
	l, err := n.Listen(t.Context(), addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// accept takes one connection in the background and keeps it open.
func accept(t *testing.T, l net.Listener) {
	go func() {
		if c, err := l.Accept(); err == nil {
			t.Cleanup(func() { _ = c.Close() })
		}
	}()
}

func TestMemoryNamesHosts(t *testing.T) {
	bubble(t, func(t *testing.T, m *network.Memory) {
		for addr, want := range map[string]string{
			":50051": "greeter:50051", "greeter:1": "greeter:1", "localhost:2": "greeter:2", "127.0.0.1:3": "greeter:3",
			"[::1]:4": "greeter:4", "0.0.0.0:5": "greeter:5", "[::]:6": "greeter:6", "greeter:0": "greeter:49152",
		} {
			l := listen(t, m.Host("greeter"), addr)
			require.Equal(t, want, l.Addr().String(), "Listen(%q)", addr)
		}
	})
}

func TestMemoryHostsDoNotSharePortsOrNames(t *testing.T) {
	bubble(t, func(t *testing.T, m *network.Memory) {
		one := listen(t, m.Host("one"), ":80")
		listen(t, m.Host("two"), ":80")
		_, err := m.Host("two").Listen(t.Context(), "one:81")
		require.ErrorIs(t, err, syscall.EADDRNOTAVAIL)
		accept(t, one)
		c, err := m.Host("two").Dial(t.Context(), "one:80")
		require.NoError(t, err)
		require.Equal(t, "one:80", c.RemoteAddr().String())
		require.Equal(t, "two:49152", c.LocalAddr().String())
	})
}

func TestMemoryLocalhostIsTheHostItself(t *testing.T) {
	bubble(t, func(t *testing.T, m *network.Memory) {
		l := listen(t, m.Host("one"), ":80")
		_, err := m.Host("two").Dial(t.Context(), "localhost:80")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		accept(t, l)
		c, err := m.Host("one").Dial(t.Context(), "localhost:80")
		require.NoError(t, err)
		require.Equal(t, "one:80", c.RemoteAddr().String())
	})
}

func TestMemoryWorldsAreApart(t *testing.T) {
	bubble(t, func(t *testing.T, m *network.Memory) {
		listen(t, m.Host("one"), ":80")
		other := network.NewMemory()
		_, err := other.Host("two").Dial(t.Context(), "one:80")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		listen(t, other.Host("one"), ":80")
	})
}

func TestMemoryPortsAreGivenBack(t *testing.T) {
	bubble(t, func(t *testing.T, m *network.Memory) {
		h := m.Host("one")
		first := listen(t, h, ":0")
		require.NoError(t, first.Close())
		require.NotEqual(t, first.Addr(), listen(t, h, ":0").Addr(), "a port just released is not the next to be given")
		for range 1 << 16 { // more than there are
			l, err := h.Listen(t.Context(), ":0")
			require.NoError(t, err)
			require.NoError(t, l.Close())
		}
		_, err := h.Dial(t.Context(), "two:80") // refused, and its port is free again
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	})
}

func TestMemoryRunsOutOfPorts(t *testing.T) {
	bubble(t, func(t *testing.T, m *network.Memory) {
		for range 1<<16 - 49152 {
			listen(t, m.Host("one"), ":0")
		}
		_, err := m.Host("one").Listen(t.Context(), ":0")
		require.ErrorIs(t, err, syscall.EADDRNOTAVAIL)
		listen(t, m.Host("two"), ":0")
	})
}

func TestMemoryDialWaitsForAccept(t *testing.T) {
	bubble(t, func(t *testing.T, m *network.Memory) {
		l := listen(t, m.Host("one"), ":80")
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		_, err := m.Host("two").Dial(ctx, "one:80")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Hour, time.Since(start), "virtual time went on meanwhile")

		errs := make(chan error)
		go func() { _, err := m.Host("two").Dial(t.Context(), "one:80"); errs <- err }()
		synctest.Wait()
		require.NoError(t, l.Close())
		require.ErrorIs(t, <-errs, syscall.ECONNREFUSED, "closing refuses what nobody accepted")
	})
}

func TestMemoryCrashEndsDialsInTheMiddle(t *testing.T) {
	for crashed, want := range map[string]error{"one": syscall.ECONNREFUSED, "two": syscall.ENETDOWN} {
		bubble(t, func(t *testing.T, m *network.Memory) {
			listen(t, m.Host("one"), ":80")
			errs := make(chan error)
			go func() { _, err := m.Host("two").Dial(t.Context(), "one:80"); errs <- err }()
			synctest.Wait()
			m.Crash(crashed)
			require.ErrorIs(t, <-errs, want, "%s crashed", crashed)
		})
	}
}

func TestMemoryCrashWakesAWaitingWriterAndDropsWhatWasInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &network.Memory{Buffer: 10}
		l := listen(t, m.Host("one"), ":80")
		accept(t, l)
		c, err := m.Host("two").Dial(t.Context(), "one:80")
		require.NoError(t, err)
		errs := make(chan error)
		go func() { _, err := c.Write(make([]byte, 11)); errs <- err }()
		synctest.Wait()
		m.Crash("one")
		require.ErrorIs(t, <-errs, syscall.ECONNRESET)
		require.NoError(t, c.Close())
	})
}

func TestMemoryDialledPortIsTakenWhileTheConnectionIsOpen(t *testing.T) {
	bubble(t, func(t *testing.T, m *network.Memory) {
		accept(t, listen(t, m.Host("one"), ":80"))
		two := m.Host("two")
		c, err := two.Dial(t.Context(), "one:80")
		require.NoError(t, err)
		_, err = two.Listen(t.Context(), c.LocalAddr().String())
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		require.NoError(t, c.Close())
		listen(t, two, c.LocalAddr().String())
	})
}

func TestMemoryHalfClose(t *testing.T) {
	bubble(t, func(t *testing.T, m *network.Memory) {
		l := listen(t, m.Host("one"), ":80")
		go func() {
			c, _ := l.Accept()
			b := make([]byte, 1)
			for {
				if _, err := c.Read(b); err != nil {
					break
				}
			}
			_, _ = c.Write([]byte("got it all"))
			_ = c.Close()
		}()
		c, err := m.Host("two").Dial(t.Context(), "one:80")
		require.NoError(t, err)
		_, err = c.Write([]byte("request"))
		require.NoError(t, err)
		require.NoError(t, c.(interface{ CloseWrite() error }).CloseWrite())
		_, err = c.Write([]byte("more"))
		require.ErrorIs(t, err, syscall.EPIPE)
		reply := make([]byte, 10)
		_, err = c.Read(reply)
		require.NoError(t, err)
		require.Equal(t, "got it all", string(reply))
	})
}

func TestMemoryWriteTellsHowMuchItWrote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &network.Memory{Buffer: 10}
		l := listen(t, m.Host("one"), ":80")
		accept(t, l)
		c, err := m.Host("two").Dial(t.Context(), "one:80")
		require.NoError(t, err)
		require.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Minute)))
		n, err := c.Write(make([]byte, 11))
		require.Error(t, err)
		require.Equal(t, 10, n)
	})
}

// Timers that are due at once, two at a time, crash the race detector inside a
// bubble. This asks that the network starts none: run it with -race.
func TestMemoryConnectsInParallelInABubble(t *testing.T) {
	bubble(t, func(t *testing.T, m *network.Memory) {
		l := listen(t, m.Host("one"), ":80")
		const diallers = 200
		for i := range diallers {
			go func() {
				c, err := m.Host(strconv.Itoa(i)).Dial(t.Context(), "one:80")
				if err != nil {
					t.Error(err)
					return
				}
				_ = c.SetDeadline(time.Now())
				_ = c.Close()
			}()
		}
		for range diallers {
			c, err := l.Accept()
			require.NoError(t, err)
			require.NoError(t, c.Close())
		}
	})
}

func BenchmarkEcho(b *testing.B) {
	for name, hosts := range map[string]interface {
		Host(string) network.Network
	}{"memory": network.NewMemory(), "tcp": new(network.TCP)} {
		for _, size := range []int{100, 32 << 10} {
			b.Run(name+"/"+strconv.Itoa(size), func(b *testing.B) { benchmarkEcho(b, hosts.Host("a"), size) })
		}
	}
}

func benchmarkEcho(b *testing.B, n network.Network, size int) {
	l, err := n.Listen(b.Context(), "127.0.0.1:0")
	require.NoError(b, err)
	defer func() { _ = l.Close() }()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		buf := make([]byte, size)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if _, err := c.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	c, err := n.Dial(b.Context(), l.Addr().String())
	require.NoError(b, err)
	defer func() { _ = c.Close() }()
	buf := make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		_, err := c.Write(buf)
		require.NoError(b, err)
		for got := 0; got < size; {
			n, err := c.Read(buf[got:])
			require.NoError(b, err)
			got += n
		}
	}
}
