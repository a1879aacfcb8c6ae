package resilience_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/resilience"
)

// A crowd sends calls at a rate, whatever becomes of them, each with a
// deadline.
type crowd struct {
	rate     float64 // calls/s
	lasts    time.Duration
	deadline time.Duration
	ask      resilience.Ask
	work     func(context.Context) error
}

// An end is how a crowd's calls ended.
type end struct {
	sent, useful, refused, late int
	waits                       []time.Duration // of the refused
}

func (e end) share() float64 { return float64(e.useful) / float64(e.sent) }

// send returns when all of a crowd's calls have ended.
func (c crowd) send(t *testing.T, l *resilience.Limiter, seed uint64) end {
	r := rand.New(rand.NewPCG(seed, 7))
	var mu sync.Mutex
	var e end
	var calls sync.WaitGroup
	for start := time.Now(); time.Since(start) < c.lasts; e.sent++ {
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), c.deadline)
			defer cancel()
			began := time.Now()
			err := c.one(ctx, l)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && ctx.Err() == nil:
				e.useful++
			case errs.Exhausted.Is(err):
				e.refused++
				e.waits = append(e.waits, time.Since(began))
			default:
				e.late++
			}
		})
		time.Sleep(time.Duration(r.ExpFloat64() / c.rate * float64(time.Second)))
	}
	calls.Wait()
	return e
}

func (c crowd) one(ctx context.Context, l *resilience.Limiter) error {
	p, err := l.Acquire(ctx, c.ask)
	if err != nil {
		return err
	}
	err = c.work(ctx)
	switch {
	case err == nil:
		p.Release(resilience.Served)
	case ctx.Err() != nil:
		p.Release(resilience.Late)
	default:
		p.Release(resilience.Failed)
	}
	return err
}

// service is a modelled one that answers 800 calls/s: 8 workers, 10 ms each.
func service() func(context.Context) error {
	return workers(8, 10*time.Millisecond)
}

func workers(n int, each time.Duration) func(context.Context) error {
	ws := resilience.NewWorkers(resilience.Work{Time: each, Workers: n, Queue: 100000})
	return func(ctx context.Context) error { return ws.Do(ctx, nothing) }
}

const (
	capacity = 800
	seconds  = 3 // that a crowd lasts, as a rule
)

// ordinary sends some share of what the service can do.
func ordinary(load float64, work func(context.Context) error) crowd {
	return crowd{rate: load * capacity, lasts: seconds * time.Second, deadline: 100 * time.Millisecond, work: work}
}

func TestOV1MostOfTheCapacityStaysUseful(t *testing.T) {
	for load, least := range map[float64]float64{1.2: 0.9, 2: 0.9, 4: 0.9, 10: 0.9} {
		synctest.Test(t, func(t *testing.T) {
			e := ordinary(load, service()).send(t, resilience.NewLimiter(resilience.LimitConfig{}), 1)
			useful := float64(e.useful) / (seconds * capacity)
			t.Logf("at %v x: %.1f %% of the capacity is useful, %d calls are late", load, 100*useful, e.late)
			require.GreaterOrEqual(t, useful, least, "at %v x", load)
		})
	}
}

// What the limiter is for: without it next to nothing of the same load is
// useful.
func TestWithoutALimitNothingIsUseful(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := ordinary(2, service()).send(t, resilience.NewLimiter(resilience.LimitConfig{Off: true}), 1)
		require.Less(t, float64(e.useful), 0.1*seconds*capacity)
		require.Zero(t, e.refused)
	})
}

func TestNothingIsRefusedWithinTheCapacity(t *testing.T) {
	for _, load := range []float64{0.1, 0.5, 0.9} {
		synctest.Test(t, func(t *testing.T) {
			e := ordinary(load, service()).send(t, resilience.NewLimiter(resilience.LimitConfig{}), 1)
			require.Equal(t, e.sent, e.useful, "at %v x", load)
		})
	}
}

func TestOV2TheExcessIsRefusedQuickly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := ordinary(4, service()).send(t, resilience.NewLimiter(resilience.LimitConfig{}), 1)
		slices.Sort(e.waits)
		require.Less(t, e.waits[len(e.waits)/2], 25*time.Millisecond)
		require.LessOrEqual(t, e.waits[len(e.waits)-1], 100*time.Millisecond)
	})
}

func TestOV5ALimiterRecoversFromAnOverload(t *testing.T) {
	for _, load := range []float64{2, 4, 10} {
		synctest.Test(t, func(t *testing.T) {
			l, work := resilience.NewLimiter(resilience.LimitConfig{}), service()
			ordinary(load, work).send(t, l, 1)
			time.Sleep(2 * time.Second)
			require.GreaterOrEqual(t, ordinary(0.5, work).send(t, l, 2).share(), 0.99, "after %v x", load)
		})
	}
}

// taking is a service that answers any number of calls at a time, each in as
// long as it is told. Its latency is no sign of overload.
func taking(how func(since time.Duration, r *rand.Rand) time.Duration) func(context.Context) error {
	start, r := time.Now(), rand.New(rand.NewPCG(3, 3))
	var mu sync.Mutex
	return func(ctx context.Context) error {
		mu.Lock()
		took := time.NewTimer(how(time.Since(start), r))
		mu.Unlock()
		defer took.Stop()
		select {
		case <-took.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// What a wrong idea of the limit costs where there is no overload at all.
func TestSlowCallsAreNotTakenForAnOverload(t *testing.T) {
	for name, test := range map[string]struct {
		rate, least float64
		took        func(time.Duration, *rand.Rand) time.Duration
	}{
		"all take a second": {200, 0.93, func(time.Duration, *rand.Rand) time.Duration { return time.Second }},
		"few take very long": {200, 1, func(_ time.Duration, r *rand.Rand) time.Duration {
			return time.Millisecond + time.Duration(1-min(r.IntN(20), 1))*4*time.Second
		}},
		"some take long": {800, 0.95, func(_ time.Duration, r *rand.Rand) time.Duration {
			return time.Millisecond + time.Duration(1-min(r.IntN(5), 1))*500*time.Millisecond
		}},
		"they vary":      {800, 0.94, func(_ time.Duration, r *rand.Rand) time.Duration { return time.Duration(r.ExpFloat64() * 1e8) }},
		"they turn slow": {200, 0.9, func(since time.Duration, _ *rand.Rand) time.Duration { return turning(since, 200*time.Millisecond) }},
		"they turn slow twice": {300, 0.6, func(since time.Duration, _ *rand.Rand) time.Duration {
			return turning(since, 300*time.Millisecond) + turning(since-2*time.Second, 700*time.Millisecond) - 10*time.Millisecond
		}},
		"they turn hard": {200, 0.8, func(since time.Duration, _ *rand.Rand) time.Duration { return turning(since, 800*time.Millisecond) }},
		"half of them hang": {400, 0.35, func(_ time.Duration, r *rand.Rand) time.Duration {
			return time.Duration(r.IntN(2)) * time.Hour
		}},
		"the first are quick, and there are few places": {1600, 0.97, func(since time.Duration, _ *rand.Rand) time.Duration {
			return 18*time.Millisecond - max(0, min(8*time.Millisecond, 20*time.Millisecond-since))
		}},
		"they are steady": {2000, 1, func(time.Duration, *rand.Rand) time.Duration { return time.Millisecond }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := crowd{rate: test.rate, lasts: 15 * time.Second, deadline: 5 * time.Second, work: taking(test.took)}
				var cfg resilience.LimitConfig
				if strings.Contains(name, "few places") {
					cfg.Initial = 20
				}
				if strings.Contains(name, "hang") {
					c.deadline = 200 * time.Millisecond
				}
				e := c.send(t, resilience.NewLimiter(cfg), 1)
				t.Logf("%.1f %% were answered, %d refused", 100*e.share(), e.refused)
				require.GreaterOrEqual(t, e.share(), test.least)
			})
		})
	}
}

// turning is 10 ms for five seconds, and then more.
func turning(since, later time.Duration) time.Duration {
	if since < 5*time.Second {
		return 10 * time.Millisecond
	}
	return later
}

// What calls take at low load is learnt as it changes, before it matters.
func TestAServiceThatHasBecomeSlowerIsKnownBeforeTheCrowdComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := resilience.NewLimiter(resilience.LimitConfig{})
		send := func(rate float64, lasts, took time.Duration) end {
			work := taking(func(time.Duration, *rand.Rand) time.Duration { return took })
			return crowd{rate: rate, lasts: lasts, deadline: time.Second, work: work}.send(t, l, 1)
		}
		send(200, 2*time.Second, 10*time.Millisecond)
		send(200, 20*time.Second, 60*time.Millisecond)
		require.Zero(t, send(1400, 5*time.Second, 60*time.Millisecond).refused)
	})
}

// limit is what a Limiter says that it is just now.
func limit(t *testing.T, l *resilience.Limiter) float64 { return gathered(t, l)["limit_calls"] }

func TestTheLimitFollowsTheCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := resilience.NewLimiter(resilience.LimitConfig{})
		ordinary(4, service()).send(t, l, 1)
		require.InDelta(t, 16, limit(t, l), 8, "eight workers, and as many calls that wait for one")
		slow := ordinary(1, workers(1, 10*time.Millisecond))
		slow.lasts = 15 * time.Second
		e := slow.send(t, l, 2)
		require.Less(t, limit(t, l), 8., "one worker")
		require.GreaterOrEqual(t, float64(e.useful), 0.6*15*100)
	})
}

// busy is the modelled service with so many calls in its queue.
func busy(calls int) func(context.Context) error {
	work := service()
	for range calls {
		go func() { _ = work(context.Background()) }()
	}
	synctest.Wait()
	return work
}

// Who begins under load has never seen what calls take without it.
func TestALimiterFindsTheLimitOfAServiceThatItFindsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := ordinary(2, busy(70)).send(t, resilience.NewLimiter(resilience.LimitConfig{}), 1)
		require.GreaterOrEqual(t, float64(e.useful), 0.8*seconds*capacity, "calls that are late give it away")
	})
	synctest.Test(t, func(t *testing.T) {
		l := resilience.NewLimiter(resilience.LimitConfig{})
		patient := ordinary(1.2, busy(200))
		patient.deadline, patient.lasts = time.Minute, 35*time.Second
		patient.send(t, l, 1)
		require.InDelta(t, 16, limit(t, l), 8, "it tries now and then where nothing gives it away")
	})
}

func TestALimitThatWasNeededOnceIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := resilience.NewLimiter(resilience.LimitConfig{})
		second := func(time.Duration, *rand.Rand) time.Duration { return time.Second }
		crowd{rate: 200, lasts: 5 * time.Second, deadline: time.Minute, work: taking(second)}.send(t, l, 1)
		require.Greater(t, limit(t, l), 150.)
		calm := ordinary(0.2, service())
		calm.lasts = time.Minute
		calm.send(t, l, 1)
		require.InDelta(t, 100, limit(t, l), 1)
	})
}

// together sends several crowds at once.
func together(t *testing.T, l *resilience.Limiter, crowds ...crowd) []end {
	ends := make([]end, len(crowds))
	var all sync.WaitGroup
	for i, c := range crowds {
		all.Go(func() { ends[i] = c.send(t, l, uint64(i)) })
	}
	all.Wait()
	return ends
}

func TestOV8AGreedyClientPushesNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		work := service()
		greedy := ordinary(4, work)
		greedy.ask.Client = 99
		crowds := []crowd{greedy}
		for i := range 9 { // together a third of the capacity
			modest := ordinary(1./27, work)
			modest.ask.Client = uint64(i + 1)
			crowds = append(crowds, modest)
		}
		ends := together(t, resilience.NewLimiter(resilience.LimitConfig{}), crowds...)
		for i, e := range ends[1:] {
			require.GreaterOrEqual(t, e.share(), 0.9, "client %d", i)
		}
		require.Greater(t, float64(ends[0].useful), 0.5*seconds*capacity, "the greedy one has what is left")
	})
}

func TestTheLeastImportantCallsAreRefusedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		work := service()
		var crowds []crowd
		for _, p := range []resilience.Priority{resilience.Critical, resilience.Default, resilience.Sheddable} {
			c := ordinary(0.7, work)
			c.ask.Priority = p
			crowds = append(crowds, c)
		}
		ends := together(t, resilience.NewLimiter(resilience.LimitConfig{}), crowds...)
		t.Logf("answered: critical %.3f, default %.3f, sheddable %.3f", ends[0].share(), ends[1].share(), ends[2].share())
		require.GreaterOrEqual(t, ends[0].share(), 0.95)
		require.Less(t, ends[1].share(), 0.7)
		require.Less(t, ends[2].share(), 0.1)
	})
}
