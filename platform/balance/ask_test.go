package balance_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/policy"
)

// A curious policy asks whom it picks, and notes what it hears.
type curious struct {
	policy.RoundRobin
	mu    sync.Mutex
	heard []string
}

func (c *curious) Pick(call balance.Call, s *balance.Set) balance.Choice {
	choice := c.RoundRobin.Pick(call, s)
	s.Ask(choice.Peer)
	return choice
}

func (c *curious) Hear(p *balance.Peer, l balance.Load) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = append(c.heard, p.ID()+" "+l.Latency.String())
}

func (c *curious) told() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard
}

// A prober answers after a time, or with an error.
type prober struct {
	after time.Duration
	err   error
	asked *atomic.Int32
}

func (p prober) Probe(ctx context.Context, _ *balance.Peer) (balance.Load, error) {
	p.asked.Add(1)
	select {
	case <-time.After(p.after):
		return balance.Load{Latency: 7 * time.Millisecond}, p.err
	case <-ctx.Done():
		return balance.Load{}, ctx.Err()
	}
}

func TestWhoIsAskedIsHeardLater(t *testing.T) {
	p, asked := new(curious), new(atomic.Int32)
	in(t, balance.Config{Policy: p, Prober: prober{after: time.Millisecond, asked: asked}}, func(t *testing.T, w *world) {
		w.up("a", "b")
		w.call(0, fine)
		synctest.Wait()
		require.Empty(t, p.told(), "a pick does not wait")
		time.Sleep(2 * time.Millisecond)
		require.Equal(t, []string{"a 7ms"}, p.told())
	})
}

func TestNobodyIsAskedTwiceAtOnce(t *testing.T) {
	p, asked := new(curious), new(atomic.Int32)
	in(t, balance.Config{Policy: p, Prober: prober{after: 5 * time.Millisecond, asked: asked}}, func(t *testing.T, w *world) {
		w.up("a", "b")
		w.call(0, fine)
		time.Sleep(time.Millisecond)
		for range 100 {
			w.call(0, fine)
		}
		time.Sleep(time.Second)
		require.EqualValues(t, 2, asked.Load())
	})
}

func TestAnAnswerThatTakesTooLongIsNotWaitedFor(t *testing.T) {
	for name, c := range map[string]prober{"slow": {after: time.Second}, "broken": {err: errors.New("no")}} {
		t.Run(name, func(t *testing.T) {
			p, asked := new(curious), new(atomic.Int32)
			c.asked = asked
			in(t, balance.Config{Policy: p, Prober: c}, func(t *testing.T, w *world) {
				w.up("a", "b")
				w.call(0, fine)
				time.Sleep(11 * time.Millisecond)
				w.call(0, fine)
				w.call(0, fine)
				time.Sleep(11 * time.Millisecond)
				require.EqualValues(t, 3, asked.Load(), "it may be asked again")
				require.Empty(t, p.told())
				require.Equal(t, 1.0, w.row("a").Success, "and it is not held against it")
			})
		})
	}
}
