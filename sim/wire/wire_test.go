package wire_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/network/networktest"
	"example.com/app/sim/wire"
)

func TestTheNetworkKeepsItsPromises(t *testing.T) {
	for name, link := range map[string]wire.Link{
		"instant": {},
		"1 ms":    {Latency: time.Millisecond},
		"jitter":  {Latency: time.Millisecond, Jitter: time.Millisecond, Spread: wire.Exponential},
		"loss":    {Latency: time.Millisecond, Loss: 0.01},
	} {
		t.Run(name, func(t *testing.T) {
			networktest.Run(t, func(t *testing.T, body func(*testing.T, networktest.Hosts)) {
				synctest.Test(t, func(t *testing.T) { body(t, wire.New(wire.Config{Seed: 7, Link: link})) })
			})
		})
	}
}

func TestTheNetworkKeepsItsPromisesInRealTime(t *testing.T) {
	networktest.Run(t, func(t *testing.T, body func(*testing.T, networktest.Hosts)) { body(t, wire.New(wire.Config{})) })
}

// pair is a connection from a-1 to b-1, its two ends.
func pair(t *testing.T, n *wire.Network) (a, b net.Conn) {
	t.Helper()
	return join(t, n, "a-1", "b-1", ":1000")
}

func join(t *testing.T, n *wire.Network, from, to, port string) (a, b net.Conn) {
	t.Helper()
	l, err := n.Host(to).Listen(t.Context(), port)
	require.NoError(t, err)
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			accepted <- c
		}
	}()
	a, err = n.Host(from).Dial(t.Context(), to+port)
	require.NoError(t, err)
	b = <-accepted
	t.Cleanup(func() { _ = a.Close(); _ = b.Close() })
	return a, b
}

// sent is how long a message takes.
func sent(t *testing.T, from, to net.Conn, text string) time.Duration {
	t.Helper()
	begin := time.Now()
	_, err := io.WriteString(from, text)
	require.NoError(t, err)
	got := make([]byte, len(text))
	_, err = io.ReadFull(to, got)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
	return time.Since(begin)
}

// play runs a test in virtual time with a network whose links take 1 ms.
func play(t *testing.T, f func(*testing.T, *wire.Network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, wire.New(wire.Config{Seed: 3, Link: wire.Link{Latency: time.Millisecond}})) })
}

func TestRulesAddUp(t *testing.T) {
	play(t, func(t *testing.T, n *wire.Network) {
		a, b := pair(t, n)
		require.Equal(t, time.Millisecond, sent(t, a, b, "x"))
		healA := n.Spoil(wire.Rule{From: "a", To: "b-1", Link: wire.Link{Latency: 10 * time.Millisecond}})
		healB := n.Spoil(wire.Rule{From: "*", To: "b", Link: wire.Link{Latency: 100 * time.Millisecond}})
		require.Equal(t, 111*time.Millisecond, sent(t, a, b, "x"))
		require.Equal(t, time.Millisecond, sent(t, b, a, "x"), "one direction")
		healA()
		healA()
		require.Equal(t, 101*time.Millisecond, sent(t, a, b, "x"))
		healB()
		require.Equal(t, time.Millisecond, sent(t, a, b, "x"))
	})
}

func TestBandwidthIsSharedByADirection(t *testing.T) {
	play(t, func(t *testing.T, n *wire.Network) {
		a, b := pair(t, n)
		a2, b2 := join(t, n, "a-1", "b-1", ":1001")
		defer n.Spoil(wire.Rule{From: "a-1", To: "b-1", Link: wire.Link{Bandwidth: 1000}})()
		require.Equal(t, 101*time.Millisecond, sent(t, a, b, string(make([]byte, 100))))
		begin := time.Now()
		var both sync.WaitGroup
		for _, c := range [][2]net.Conn{{a, b}, {a2, b2}} {
			both.Go(func() { sent(t, c[0], c[1], string(make([]byte, 100))) })
		}
		both.Wait()
		require.Equal(t, 201*time.Millisecond, time.Since(begin))
	})
}

func TestLossIsDelayAndKeepsTheOrder(t *testing.T) {
	play(t, func(t *testing.T, n *wire.Network) {
		a, b := pair(t, n)
		defer n.Spoil(wire.Rule{From: "a", To: "b", Link: wire.Link{Loss: 0.3}})()
		late := 0
		for i := range 300 {
			if sent(t, a, b, fmt.Sprintf("message %d", i)) >= 200*time.Millisecond {
				late++
			}
		}
		require.InDelta(t, 90, late, 25)
	})
}

func TestAPartitionHoldsEverythingAndTellsNobody(t *testing.T) {
	play(t, func(t *testing.T, n *wire.Network) {
		a, b := pair(t, n)
		heal := n.Spoil(wire.Rule{From: "a-1", To: "b-1", Link: wire.Link{Cut: true}})
		_, err := io.WriteString(a, "hello")
		require.NoError(t, err)
		require.NoError(t, b.SetReadDeadline(time.Now().Add(time.Minute)))
		_, err = b.Read(make([]byte, 5))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, time.Millisecond, sent(t, b, a, "the other way is open"))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err = n.Host("a-1").Dial(ctx, "b-1:1000")
		require.ErrorIs(t, err, context.DeadlineExceeded, "SYNs wait too")
		heal()
		require.NoError(t, b.SetReadDeadline(time.Time{}))
		got := make([]byte, 5)
		_, err = io.ReadFull(b, got)
		require.NoError(t, err)
		require.Equal(t, "hello", string(got))
	})
}

func TestADialThroughAPartitionSucceedsWhenItIsHealed(t *testing.T) {
	play(t, func(t *testing.T, n *wire.Network) {
		heal := n.Spoil(wire.Rule{From: "b", To: "a", Link: wire.Link{Cut: true}})
		time.AfterFunc(5*time.Second, heal)
		begin := time.Now()
		pair(t, n)
		require.GreaterOrEqual(t, time.Since(begin), 5*time.Second)
		require.Less(t, time.Since(begin), 12*time.Second)
	})
}

func TestACrashResetsPeersOneLatencyLater(t *testing.T) {
	play(t, func(t *testing.T, n *wire.Network) {
		a, b := pair(t, n)
		begin := time.Now()
		n.Crash("b-1")
		_, err := b.Write([]byte("x"))
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = a.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.Equal(t, time.Millisecond, time.Since(begin))
	})
}

func TestACrashBehindAPartitionIsNoticedWhenSomethingIsSent(t *testing.T) {
	play(t, func(t *testing.T, n *wire.Network) {
		a, _ := pair(t, n)
		heal := n.Spoil(wire.Rule{From: "b", To: "a", Link: wire.Link{Cut: true}})
		n.Crash("b-1")
		time.Sleep(time.Minute)
		heal()
		n.Restore("b-1")
		requireHalfOpen(t, a)
	})
}

func TestAPowerCutLeavesConnectionsHalfOpen(t *testing.T) {
	play(t, func(t *testing.T, n *wire.Network) {
		a, b := pair(t, n)
		n.PowerCut("b-1")
		_, err := b.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = a.Write([]byte("into the void"))
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err = n.Host("a-1").Dial(ctx, "b-1:1000")
		require.ErrorIs(t, err, context.DeadlineExceeded, "nobody refuses")
		n.Restore("b-1")
		_, err = a.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET, "what was sent meets a host that knows nothing of it")
		_, err = n.Host("a-1").Dial(t.Context(), "b-1:1000")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	})
}

// requireHalfOpen expects that c looks well until something is sent on it.
func requireHalfOpen(t *testing.T, c net.Conn) {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, c.SetReadDeadline(time.Time{}))
	_, err = c.Write([]byte("anybody there?"))
	require.NoError(t, err)
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

func TestAResetAbortsBothEnds(t *testing.T) {
	play(t, func(t *testing.T, n *wire.Network) {
		a, b := pair(t, n)
		c, d := join(t, n, "c-1", "b-1", ":1001")
		n.Reset("b", "a-1")
		for _, end := range []net.Conn{a, b} {
			_, err := end.Read(make([]byte, 1))
			require.ErrorIs(t, err, syscall.ECONNRESET)
			require.NoError(t, end.Close())
		}
		sent(t, c, d, "others are spared")
	})
}

func TestAPausedHostGetsAndSendsEverythingLater(t *testing.T) {
	play(t, func(t *testing.T, n *wire.Network) {
		a, b := pair(t, n)
		one, two := n.Pause("b-1"), n.Pause("b")
		_, err := io.WriteString(a, "in")
		require.NoError(t, err)
		_, err = io.WriteString(b, "out")
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		one()
		one()
		require.NoError(t, a.SetReadDeadline(time.Now().Add(time.Second)))
		_, err = a.Read(make([]byte, 3))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "it is paused still")
		require.NoError(t, a.SetReadDeadline(time.Time{}))
		two()
		for end, want := range map[net.Conn]string{a: "out", b: "in"} {
			got := make([]byte, len(want))
			_, err = io.ReadFull(end, got)
			require.NoError(t, err)
			require.Equal(t, want, string(got))
		}
	})
}

func TestALimitRefusesConnections(t *testing.T) {
	play(t, func(t *testing.T, n *wire.Network) {
		pair(t, n)
		l, err := n.Host("b-1").Listen(t.Context(), ":2000")
		require.NoError(t, err)
		defer l.Close()
		go func() {
			for {
				if _, err := l.Accept(); err != nil {
					return
				}
			}
		}()
		heal := n.Limit("b-1", 1)
		_, err = n.Host("a-1").Dial(t.Context(), "b-1:2000")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		heal()
		c, err := n.Host("a-1").Dial(t.Context(), "b-1:2000")
		require.NoError(t, err)
		require.NoError(t, c.Close())
	})
}

func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		place, host, zone string
		want              bool
	}{
		{"*", "a-1", "", true},
		{"a-1", "a-1", "", true},
		{"a", "a-1", "", true},
		{"a", "a-b-1", "", false},
		{"a-b", "a-b-12", "", true},
		{"a", "ab-1", "", false},
		{"a-1", "a-11", "", false},
		{"registry", "registry", "", true},
		{"zone:eu", "a-1", "eu", true},
		{"zone:eu", "a-1", "us", false},
		{"zone:", "a-1", "", false},
	} {
		require.Equal(t, c.want, wire.Match(c.place, c.host, c.zone), "%v", c)
	}
}

// Whatever goes wrong meanwhile, what is read is what was written, in order, and
// all of it arrives once all is healed.
func TestStreamsStayWhole(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			n := wire.New(wire.Config{Seed: seed, Link: wire.Link{Latency: time.Millisecond, Jitter: 5 * time.Millisecond}})
			a, b := pair(t, n)
			var doing sync.WaitGroup
			sum := make(chan int, 2)
			for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
				size := 1 + r.IntN(500_000)
				pieces := rand.New(rand.NewPCG(seed, 1))
				doing.Go(func() {
					for at := 0; at < size; {
						k := min(1+pieces.IntN(40_000), size-at)
						piece := make([]byte, k)
						for i := range piece {
							piece[i] = byte((at + i) * 7 / 3)
						}
						if _, err := way[0].Write(piece); err != nil {
							t.Error(err)
							return
						}
						at += k
						time.Sleep(time.Duration(pieces.IntN(20)) * time.Millisecond)
					}
					if err := way[0].(interface{ CloseWrite() error }).CloseWrite(); err != nil {
						t.Error(err)
					}
				})
				doing.Go(func() {
					all, err := io.ReadAll(way[1])
					if err != nil {
						t.Error(err)
					}
					for i, x := range all {
						if x != byte(i*7/3) {
							t.Errorf("byte %d of %d is wrong", i, len(all))
							break
						}
					}
					sum <- len(all) - size
				})
			}
			for range 20 {
				time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
				var undo func()
				switch r.IntN(4) {
				case 0:
					undo = n.Pause("b-1")
				case 1:
					undo = n.Spoil(wire.Rule{From: "a", To: "b", Link: wire.Link{Cut: true}})
				case 2:
					undo = n.Spoil(wire.Rule{From: "*", To: "*", Link: wire.Link{Loss: 0.3, Latency: 20 * time.Millisecond}})
				default:
					undo = n.Spoil(wire.Rule{From: "b", To: "a", Link: wire.Link{Bandwidth: 1e6}})
				}
				time.AfterFunc(time.Duration(1+r.IntN(300))*time.Millisecond, undo)
			}
			doing.Wait()
			require.Zero(t, <-sum)
			require.Zero(t, <-sum)
			require.NoError(t, errors.Join(a.Close(), b.Close()))
			time.Sleep(time.Second)
			require.Zero(t, n.Connections("*"))
		})
	}
}

// The luck of one direction does not depend on what happens on others.
func TestEachDirectionHasItsOwnLuck(t *testing.T) {
	times := func(others int) (all []time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			n := wire.New(wire.Config{Seed: 9, Link: wire.Link{Jitter: 100 * time.Millisecond}})
			a, b := pair(t, n)
			c, d := join(t, n, "c-1", "d-1", ":1")
			for range 20 {
				for range others {
					sent(t, c, d, "noise")
				}
				all = append(all, sent(t, a, b, "x"))
			}
		})
		return all
	}
	require.Equal(t, times(0), times(5))
}

func TestWhatWaitsIsNotHeldBackByWhatHasBeenHealed(t *testing.T) {
	for name, link := range map[string]wire.Link{"loss": {Loss: 1}, "bandwidth": {Bandwidth: 10}, "latency": {Latency: time.Hour}} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, n *wire.Network) {
				a, b := pair(t, n)
				heal := n.Spoil(wire.Rule{From: "a", To: "b", Link: link})
				time.AfterFunc(time.Second, heal)
				require.InDelta(t, time.Second, sent(t, a, b, string(make([]byte, 60_000))), float64(10*time.Millisecond))
				require.Equal(t, time.Millisecond, sent(t, a, b, "and on it goes"))
			})
		})
	}
}

func TestLimitsHoldForAHerdAndNest(t *testing.T) {
	play(t, func(t *testing.T, n *wire.Network) {
		two := n.Limit("b", 2) // nobody has been there yet
		l, err := n.Host("b-1").Listen(t.Context(), ":2000")
		require.NoError(t, err)
		var accepted []net.Conn
		var accepting sync.WaitGroup
		accepting.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				accepted = append(accepted, c)
			}
		})
		herd := func() (in []net.Conn) {
			var dialling sync.WaitGroup
			var mu sync.Mutex
			for i := range 50 {
				dialling.Go(func() {
					if c, err := n.Host(fmt.Sprintf("a-%d", i)).Dial(t.Context(), "b-1:2000"); err == nil {
						mu.Lock()
						defer mu.Unlock()
						in = append(in, c)
					} else if !errors.Is(err, syscall.ECONNREFUSED) {
						t.Error(err)
					}
				})
			}
			dialling.Wait()
			return in
		}
		first := herd()
		require.Len(t, first, 2)
		one := n.Limit("b-1", 1)
		two()
		two()
		require.Empty(t, herd(), "the other limit holds")
		one()
		rest := herd()
		require.Len(t, rest, 50)
		none := n.Limit("b-1", 0)
		require.Empty(t, herd())
		none()
		for _, c := range append(first, rest...) {
			require.NoError(t, c.Close())
		}
		require.NoError(t, l.Close())
		accepting.Wait()
		for _, c := range accepted {
			_ = c.Close()
		}
		time.Sleep(time.Second)
	})
}

func TestACrashEndsTheDialsOfItsHost(t *testing.T) {
	play(t, func(t *testing.T, n *wire.Network) {
		defer n.Spoil(wire.Rule{From: "a", To: "b", Link: wire.Link{Cut: true}})()
		time.AfterFunc(time.Second, func() { n.Crash("a-1") })
		begin := time.Now()
		_, err := n.Host("a-1").Dial(t.Context(), "b-1:1000")
		require.ErrorIs(t, err, syscall.ENETDOWN)
		require.Equal(t, time.Second, time.Since(begin))
	})
}

func TestAPowerCutLosesWhatWasClosedButNotSent(t *testing.T) {
	play(t, func(t *testing.T, n *wire.Network) {
		a, b := pair(t, n)
		_, err := io.WriteString(b, "last words")
		require.NoError(t, err)
		require.NoError(t, b.Close())
		n.PowerCut("b-1")
		time.Sleep(time.Minute)
		n.Restore("b-1")
		requireHalfOpen(t, a)
	})
}
