package resilience_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	"example.com/app/platform/errs"
	"example.com/app/platform/resilience"
)

// fixed lets so many in at a time, and as many wait as half of that.
func fixed(n int) resilience.LimitConfig {
	return resilience.LimitConfig{Initial: n, Min: n, Max: n}
}

func let(t *testing.T, l *resilience.Limiter, a resilience.Ask) resilience.Permit {
	t.Helper()
	p, err := l.Acquire(t.Context(), a)
	require.NoError(t, err)
	return p
}

// queued asks for a place in the background and tells how that ended.
func queued(t *testing.T, l *resilience.Limiter, a resilience.Ask) chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := l.Acquire(t.Context(), a)
		ended <- err
	}()
	synctest.Wait()
	return ended
}

func TestACallWaitsAWhileForAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := resilience.NewLimiter(fixed(2))
		p := let(t, l, resilience.Ask{})
		let(t, l, resilience.Ask{})
		ended := queued(t, l, resilience.Ask{})
		require.Empty(t, ended)
		p.Release(resilience.Served)
		require.NoError(t, <-ended)
		start := time.Now()
		_, err := l.Acquire(t.Context(), resilience.Ask{})
		require.True(t, errs.Exhausted.Is(err), "%v", err)
		require.Equal(t, 100*time.Millisecond, time.Since(start))
	})
}

func TestOV9TheQueueIsBoundedAndItsEndIsImmediate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := resilience.NewLimiter(fixed(6))
		for range 6 {
			let(t, l, resilience.Ask{})
		}
		for range 3 {
			queued(t, l, resilience.Ask{})
		}
		start := time.Now()
		_, err := l.Acquire(t.Context(), resilience.Ask{Priority: resilience.Sheddable})
		require.True(t, errs.Exhausted.Is(err))
		require.Equal(t, start, time.Now())
		require.Equal(t, map[string]float64{
			"limit_calls": 6, "limit_calls_in_use": 6, "limit_calls_waiting": 3,
			"limit_refused_calls_total critical": 0, "limit_refused_calls_total default": 0, "limit_refused_calls_total sheddable": 1,
		}, gathered(t, l))
		time.Sleep(time.Minute) // those who wait give up
	})
}

// gathered is what a collector tells, by name and label values.
func gathered(t *testing.T, c prometheus.Collector) map[string]float64 {
	reg := prometheus.NewPedanticRegistry()
	require.NoError(t, reg.Register(c))
	families, err := reg.Gather()
	require.NoError(t, err)
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

func TestARefusalSaysWhenToComeBack(t *testing.T) {
	l := resilience.NewLimiter(resilience.LimitConfig{Initial: 2, Max: 2, Queue: -1})
	let(t, l, resilience.Ask{})
	let(t, l, resilience.Ask{})
	_, err := l.Acquire(t.Context(), resilience.Ask{})
	s := status.Convert(err)
	require.Equal(t, "too many calls just now", s.Message())
	require.Equal(t, "OVERLOADED", s.Details()[0].(*errdetails.ErrorInfo).GetReason())
	require.Equal(t, errs.Domain, s.Details()[0].(*errdetails.ErrorInfo).GetDomain())
	require.Equal(t, time.Second, s.Details()[1].(*errdetails.RetryInfo).GetRetryDelay().AsDuration())
}

func TestOV7ACallThatNobodyWaitsForAnyMoreIsNotLetIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := resilience.NewLimiter(fixed(1))
		p := let(t, l, resilience.Ask{})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := l.Acquire(ctx, resilience.Ask{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 30*time.Millisecond, time.Since(start))
		p.Release(resilience.Served)
		let(t, l, resilience.Ask{}).Release(resilience.Served) // nobody is in the way
	})
}

func TestACriticalCallTakesTheSeatOfALesserOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := resilience.NewLimiter(fixed(2))
		p := let(t, l, resilience.Ask{})
		let(t, l, resilience.Ask{})
		lesser := queued(t, l, resilience.Ask{})
		_, err := l.Acquire(t.Context(), resilience.Ask{})
		require.True(t, errs.Exhausted.Is(err), "an equal one does not")
		critical := queued(t, l, resilience.Ask{Priority: resilience.Critical})
		require.True(t, errs.Exhausted.Is(<-lesser))
		p.Release(resilience.Served)
		require.NoError(t, <-critical)
	})
}

func TestTheLeastServedClientIsNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := resilience.NewLimiter(fixed(4))
		p := let(t, l, resilience.Ask{Client: 1})
		for range 3 {
			let(t, l, resilience.Ask{Client: 1})
		}
		greedy := queued(t, l, resilience.Ask{Client: 1})
		modest := queued(t, l, resilience.Ask{Client: 2})
		p.Release(resilience.Served)
		synctest.Wait()
		require.Len(t, modest, 1)
		require.Empty(t, greedy)
		require.NoError(t, <-modest)
		time.Sleep(time.Minute)
	})
}

func TestAHeavyCallTakesSeveralPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := resilience.NewLimiter(fixed(10))
		heavy := let(t, l, resilience.Ask{Weight: 10})
		light := queued(t, l, resilience.Ask{})
		require.Empty(t, light)
		heavy.Release(resilience.Served)
		require.NoError(t, <-light)
		let(t, l, resilience.Ask{Weight: 1000}) // one that weighs more than all is let in where there is any room
	})
}

func TestOffRefusesNothing(t *testing.T) {
	l := resilience.NewLimiter(resilience.LimitConfig{Off: true, Initial: 1, Max: 1})
	for range 1000 {
		let(t, l, resilience.Ask{})
	}
	resilience.Permit{}.Release(resilience.Served)
}

// Whatever comes, and when: never more than the limit inside, everybody hears
// something in time, and all places come back.
func TestNoPlaceIsLost(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2))
			n := 1 + r.IntN(8)
			l := resilience.NewLimiter(fixed(n))
			var inside, most atomic.Int32
			var calls sync.WaitGroup
			for range 300 {
				time.Sleep(time.Duration(r.IntN(4)) * time.Millisecond)
				ask := resilience.Ask{Client: uint64(r.IntN(5)), Priority: resilience.Priority(r.IntN(3) - 1)}
				patience, took := time.Duration(1+r.IntN(60))*time.Millisecond, time.Duration(r.IntN(30))*time.Millisecond
				calls.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					start := time.Now()
					p, err := l.Acquire(ctx, ask)
					require.LessOrEqual(t, time.Since(start), min(patience, 100*time.Millisecond))
					if err != nil {
						return
					}
					now := inside.Add(1)
					for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
					}
					time.Sleep(took)
					inside.Add(-1)
					p.Release(resilience.End(seed % 3))
				})
			}
			calls.Wait()
			require.LessOrEqual(t, int(most.Load()), n)
			for range n {
				let(t, l, resilience.Ask{})
			}
		})
	}
}

func TestPrioritiesAreReadAsTheyAreWritten(t *testing.T) {
	for _, p := range []resilience.Priority{resilience.Sheddable, resilience.Default, resilience.Critical} {
		got, err := resilience.ParsePriority(p.String())
		require.NoError(t, err)
		require.Equal(t, p, got)
	}
	_, err := resilience.ParsePriority("urgent")
	require.True(t, errs.Invalid.Is(err))
}

func TestRetriesAreAFifthOfTheCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := resilience.NewBudget(resilience.BudgetConfig{})
		retries := 0
		for range 1000 { // all at once: nothing is paid in by time
			b.Call()
			if b.Retry() {
				retries++
			}
		}
		require.InDelta(t, 210, retries, 1, "a fifth, and what was saved up")
		require.EqualValues(t, 1000-retries, b.Denied())
		time.Sleep(time.Second)
		later := 0
		for b.Retry() {
			later++
		}
		require.InDelta(t, 10, later, 1, "ten a second in any case")
	})
}

func TestABudgetSavesUpNoMoreThanItsBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := resilience.NewBudget(resilience.BudgetConfig{Ratio: 0.05, PerSecond: -1, Burst: 3})
		for range 1000 {
			b.Call()
		}
		time.Sleep(time.Hour)
		for range 3 {
			require.True(t, b.Retry())
		}
		require.False(t, b.Retry())
	})
}

func TestALimitIsReadAsItIsWritten(t *testing.T) {
	for text, want := range map[string]resilience.LimitConfig{
		"off":                {Off: true},
		"max=64":             {Max: 64},
		"max=3,min=3":        {Min: 3, Max: 3},
		"queue=0":            {Queue: -1},
		"initial=5, wait=1s": {Initial: 5, Wait: time.Second},
		"slack=2ms,queue=7":  {Slack: 2 * time.Millisecond, Queue: 7},
	} {
		got, err := resilience.ParseLimit(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "on", "max", "max=0", "max=-1", "max=1000001", "wait=0s", "max=2,min=3", "limit=3", "max=3,"} {
		_, err := resilience.ParseLimit(text)
		require.True(t, errs.Invalid.Is(err), "%q: %v", text, err)
	}
}

func FuzzALimitIsPrintedAsItIsRead(f *testing.F) {
	for _, text := range []string{"off", "max=64,queue=32,wait=50ms", "queue=0", "initial=1,min=1,slack=1ns", "x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := resilience.ParseLimit(text)
		if err != nil {
			require.Zero(t, c)
			return
		}
		again, err := resilience.ParseLimit(c.String())
		require.NoError(t, err)
		require.Equal(t, c, again)
		resilience.NewLimiter(c)
	})
}
