package rpc

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/balance"
	"example.com/app/platform/errs"
	"example.com/app/platform/rpc/internal/probepb"
)

// pace is the time between two calls of 200 a second. An odd one: two things
// should not happen in one instant by design.
const pace = 5*time.Millisecond + 7*time.Nanosecond

// offer makes n calls, 200 a second, whether or not those before have been
// answered, and waits until all have ended. None is retried.
func (w *world) offer(client probepb.ProbeClient, n int) {
	w.Helper()
	var calls sync.WaitGroup
	for range n {
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(w.Context(), 5*time.Second)
			defer cancel()
			_, _ = client.Write(ctx, &probepb.Request{})
		})
		time.Sleep(pace)
	}
	calls.Wait()
}

// seeded is a client whose random choices are the same each time.
func (w *world) seeded() probepb.ProbeClient {
	w.Helper()
	conn := w.dialAs("client", ClientConfig{Balance: balance.Config{Seed: 1}})
	w.reach(conn)
	return probepb.NewProbeClient(conn)
}

const usual = 10 * time.Millisecond

// fleet starts good instances, all but the first one, which is bad.
func (w *world) fleet(n int, bad *probe) {
	w.Helper()
	w.start("probe-0", bad, ServerConfig{})
	for i := 1; i < n; i++ {
		w.start(fmt.Sprintf("probe-%d", i), sleeping(usual), ServerConfig{})
	}
}

// The table in the design: 2,000 calls, the share that reaches the bad one. A
// balancer that counts calls in flight takes one that fails at once for idle;
// one that forgets when the list changes calls the slow one after each change.
func TestABadInstanceGetsNextToNoCalls(t *testing.T) {
	for name, bad := range map[string]func() *probe{
		"slow":      func() *probe { return sleeping(100 * usual) },
		"fail-fast": func() *probe { return refusing(errs.Unavailable.New("not now")) },
	} {
		for _, n := range []int{2, 3, 10} {
			most := 20 // 1 %
			if n == 10 {
				most = 10
			}
			t.Run(fmt.Sprintf("%s of %d", name, n), func(t *testing.T) {
				t.Parallel()
				inMemory(t, func(w *world) {
					p := bad()
					w.fleet(n, p)
					w.offer(w.seeded(), 2000)
					require.LessOrEqual(w, p.calls(), most)
					require.Positive(w, p.calls(), "nobody is condemned unheard")
				})
			})
			t.Run(fmt.Sprintf("%s of %d, and the list changes", name, n), func(t *testing.T) {
				t.Parallel()
				inMemory(t, func(w *world) {
					p := bad()
					w.fleet(n, p)
					changes := w.churn()
					w.offer(w.seeded(), 2000)
					require.GreaterOrEqual(w, changes.Load(), int64(39))
					require.LessOrEqual(w, p.calls(), most)
				})
			})
		}
	}
}

// churn makes one more instance come or go every 250 ms, until the test ends.
// It counts the changes.
func (w *world) churn() *atomic.Int64 {
	w.Helper()
	guest := w.start("guest", sleeping(usual), ServerConfig{})
	ctx, cancel := context.WithCancel(w.Context())
	ended, changes := make(chan struct{}), new(atomic.Int64)
	w.Cleanup(func() { cancel(); <-ended })
	go func() {
		defer close(ended)
		delist := guest.delist
		for ctx.Err() == nil {
			time.Sleep(250 * time.Millisecond)
			if changes.Add(1)%2 == 1 {
				delist()
			} else {
				delist = w.list("guest", guest.addr)
			}
		}
	}()
	return changes
}

func TestRT9ANewInstanceCarriesItsShareSoon(t *testing.T) {
	inMemory(t, func(w *world) {
		w.start("probe-0", sleeping(usual), ServerConfig{})
		w.start("probe-1", sleeping(usual), ServerConfig{})
		client := w.seeded()
		w.offer(client, 1000)
		late := sleeping(usual)
		w.start("probe-2", late, ServerConfig{})
		w.offer(client, 600)
		before := late.calls()
		w.offer(client, 200) // the fourth second
		require.GreaterOrEqual(w, late.calls()-before, 30)
	})
}

func TestRT10ASickInstanceGetsFewCallsAndReturnsWhenWell(t *testing.T) {
	inMemory(t, func(w *world) {
		var well atomic.Bool
		var n atomic.Int64
		sick := &probe{answer: func(context.Context, *probepb.Request) (*probepb.Reply, error) {
			time.Sleep(usual)
			if !well.Load() && n.Add(1)%2 == 0 {
				return nil, errs.Internal.New("out of order")
			}
			return &probepb.Reply{}, nil
		}}
		w.fleet(3, sick)
		client := w.seeded()
		w.offer(client, 2000)
		before := sick.calls()
		w.offer(client, 1000)
		require.Less(w, sick.calls()-before, 100, "after 10 s")
		well.Store(true)
		for range 1000 { // a minute
			_, err := client.Write(w.Context(), &probepb.Request{})
			require.NoError(w, err)
			time.Sleep(50 * time.Millisecond)
		}
		before = sick.calls()
		w.offer(client, 600)
		require.Greater(w, sick.calls()-before, 600/5, "a minute after it is well")
	})
}

func TestLC10AnInstanceThatHangsCatchesFewCalls(t *testing.T) {
	inMemory(t, func(w *world) {
		var hangs atomic.Bool
		hanging := &probe{answer: func(ctx context.Context, _ *probepb.Request) (*probepb.Reply, error) {
			if hangs.Load() {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			time.Sleep(usual)
			return &probepb.Reply{}, nil
		}}
		w.fleet(3, hanging)
		client := w.seeded()
		w.offer(client, 1000)
		before := hanging.calls()
		require.Greater(w, before, 200)
		hangs.Store(true)
		w.offer(client, 2000)
		require.LessOrEqual(w, hanging.calls()-before, 20)
	})
}

// A limit that is reached everywhere is nobody's fault: it must not leave the
// client without instances.
func TestAFleetThatIsOverloadedIsCalledStill(t *testing.T) {
	inMemory(t, func(w *world) {
		var full atomic.Bool
		full.Store(true)
		answer := func(context.Context, *probepb.Request) (*probepb.Reply, error) {
			if full.Load() {
				return nil, errs.Exhausted.New("too much")
			}
			return &probepb.Reply{}, nil
		}
		probes := []*probe{{answer: answer}, {answer: answer}, {answer: answer}}
		for i, p := range probes {
			w.start(fmt.Sprintf("probe-%d", i), p, ServerConfig{})
		}
		client := w.seeded()
		w.offer(client, 400)
		require.Equal(w, 400, probes[0].calls()+probes[1].calls()+probes[2].calls())
		full.Store(false)
		for range 50 {
			_, err := client.Write(w.Context(), &probepb.Request{})
			require.NoError(w, err)
		}
		synctest.Wait()
	})
}
