package registry_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/registry"
)

var greeter = registry.Instance{ID: "greeter-a-1", Role: "greeter", Addr: "a:50051"}

// list is what a watch of the role begins with.
func list(t *testing.T, r registry.Registry, role string) []string {
	t.Helper()
	ids := []string{}
	for set, err := range r.Watch(t.Context(), role) {
		require.NoError(t, err)
		for _, in := range set {
			ids = append(ids, in.ID)
		}
		break
	}
	return ids
}

// register registers in the background; the channel holds what Register returned.
func register(ctx context.Context, r registry.Registry, reg registry.Registration) <-chan error {
	done := make(chan error, 1)
	go func() { done <- r.Register(ctx, reg) }()
	synctest.Wait()
	return done
}

func TestCrashedHostStaysListedUntilItsTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := registry.NewMemory()
		ctx, cancel := context.WithCancel(t.Context())
		done := register(ctx, m.Host("a"), registry.Registration{Instance: greeter})
		time.Sleep(7 * time.Second) // the last beat was at 5 s, the TTL ends at 20 s
		m.Crash("a")
		cancel()
		require.True(t, errs.Unavailable.Is(<-done), "a dead host cannot take its leave")
		time.Sleep(12 * time.Second)
		require.Equal(t, []string{greeter.ID}, list(t, m.Host("b"), "greeter"))
		time.Sleep(2 * time.Second)
		require.Empty(t, list(t, m.Host("b"), "greeter"))
	})
}

func TestHostThatCrashesBeforeItsFirstHeartbeatExpiresToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := registry.NewMemory()
		register(t.Context(), m.Host("a"), registry.Registration{Instance: greeter})
		m.Crash("a")
		time.Sleep(14 * time.Second)
		require.NotEmpty(t, list(t, m.Host("b"), "greeter"))
		time.Sleep(2 * time.Second)
		require.Empty(t, list(t, m.Host("b"), "greeter"))
	})
}

func TestDeadIncarnationWritesNothingAfterTheRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := registry.NewMemory()
		ctx, cancel := context.WithCancel(t.Context())
		var fate atomic.Value
		old := m.Host("a")
		done := register(ctx, old, registry.Registration{Instance: greeter, Report: func(err error) {
			if err != nil {
				fate.Store(err)
			}
		}})
		m.Crash("a")
		m.Restore("a")
		heir := registry.Registration{Instance: greeter}
		heir.Addr = "a:2"
		register(t.Context(), m.Host("a"), heir)
		time.Sleep(time.Minute)
		require.ErrorContains(t, fate.Load().(error), "host a has crashed")
		cancel()
		require.Error(t, <-done)
		for set := range m.Host("b").Watch(t.Context(), "greeter") {
			require.True(t, registry.Same([]registry.Instance{heir.Instance}, set), "%v", set)
			break
		}
	})
}

func TestHostThatIsDownIsRefusedUntilItsRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := registry.NewMemory()
		m.Crash("a")
		early := m.Host("a") // of the incarnation to come
		register(t.Context(), early, registry.Registration{Instance: greeter})
		time.Sleep(time.Minute)
		require.Empty(t, list(t, early, "greeter"), "reading is allowed")
		m.Restore("a")
		time.Sleep(6 * time.Second)
		require.Equal(t, []string{greeter.ID}, list(t, early, "greeter"))
	})
}

func TestCrashOfOneHostSparesAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := registry.NewMemory()
		register(t.Context(), m.Host("a"), registry.Registration{Instance: greeter})
		m.Crash("b")
		time.Sleep(time.Minute)
		require.Equal(t, []string{greeter.ID}, list(t, m.Host("c"), "greeter"))
	})
}

func TestNewestRegistrationOfAnIdWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := registry.NewMemory()
		ctx, cancel := context.WithCancel(t.Context())
		older := register(ctx, m.Host("a"), registry.Registration{Instance: greeter})
		register(t.Context(), m.Host("b"), registry.Registration{Instance: greeter})
		time.Sleep(time.Minute)
		cancel()
		require.NoError(t, <-older)
		require.Equal(t, []string{greeter.ID}, list(t, m.Host("a"), "greeter"), "it is not the older one's to remove")
	})
}

func TestHeartbeatIsNoChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := registry.NewMemory()
		register(t.Context(), m.Host("a"), registry.Registration{Instance: greeter})
		before := m.Index()
		time.Sleep(time.Hour)
		require.Equal(t, before, m.Index())
		register(t.Context(), m.Host("a"), registry.Registration{
			Instance: registry.Instance{ID: "x", Role: "mailer", Addr: "a:1"},
		})
		require.Greater(t, m.Index(), before)
	})
}

func TestTwoMemoriesDoNotSeeEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, other := registry.NewMemory(), registry.NewMemory()
		register(t.Context(), m.Host("a"), registry.Registration{Instance: greeter})
		require.Empty(t, list(t, other.Host("a"), "greeter"))
	})
}

func TestRegistryKeepsItsOwnCopyOfAnInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, in := registry.NewMemory(), greeter
		in.Tags = []string{"b", "a"}
		register(t.Context(), m.Host("a"), registry.Registration{Instance: in})
		require.Equal(t, []string{"b", "a"}, in.Tags, "sorting is done on the copy")
		in.Tags[0] = "scribble"
		for set := range m.Host("b").Watch(t.Context(), "greeter") {
			require.Equal(t, []string{"a", "b"}, set[0].Tags)
			break
		}
	})
}
