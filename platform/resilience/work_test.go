package resilience_test

import (
	"context"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/resilience"
)

func TestWorkIsReadAsItIsWritten(t *testing.T) {
	for text, want := range map[string]resilience.Work{
		"20ms":                       {Time: 20 * time.Millisecond},
		"20ms,workers=8":             {Time: 20 * time.Millisecond, Workers: 8},
		"20ms,workers=8,queue=100":   {Time: 20 * time.Millisecond, Workers: 8, Queue: 100},
		" queue=3 , workers=2 , 1s ": {Time: time.Second, Workers: 2, Queue: 3},
		"workers=1":                  {Workers: 1},
		"time=1s":                    {Time: time.Second},
		"0s":                         {},
	} {
		got, err := resilience.ParseWork(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

func TestWorkThatMakesNoSenseIsRefused(t *testing.T) {
	for _, text := range []string{"", ",", "fast", "-1s", "workers=-1", "queue=-1", "workers=x", "20ms,threads=8", "1s,", "workers="} {
		_, err := resilience.ParseWork(text)
		require.True(t, errs.Invalid.Is(err), "%q: %v", text, err)
		require.ErrorContains(t, err, "want a time and limits")
	}
}

func FuzzWorkIsPrintedAsItIsRead(f *testing.F) {
	for _, text := range []string{"20ms,workers=8,queue=100", "workers=1", "1h2m3s", "queue=7,1ns", "x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w, err := resilience.ParseWork(text)
		if err != nil {
			require.Equal(t, resilience.Work{}, w)
			return
		}
		again, err := resilience.ParseWork(w.String())
		require.NoError(t, err)
		require.Equal(t, w, again)
	})
}

func nothing() error { return nil }

func TestNoWorkMeansNoWorkers(t *testing.T) {
	ws := resilience.NewWorkers(resilience.Work{})
	require.Nil(t, ws)
	require.Equal(t, io.EOF, ws.Do(t.Context(), func() error { return io.EOF }))
}

func TestEachCallTakesTheModelledTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ws := resilience.NewWorkers(resilience.Work{Time: 20 * time.Millisecond})
		start := time.Now()
		require.Equal(t, io.EOF, ws.Do(t.Context(), func() error {
			require.Equal(t, 20*time.Millisecond, time.Since(start))
			return io.EOF
		}))
		require.Equal(t, 20*time.Millisecond, time.Since(start))
	})
}

func TestCallsWaitForAWorkerAndTheRestIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ws := resilience.NewWorkers(resilience.Work{Time: time.Second, Workers: 2, Queue: 3})
		start := time.Now()
		took := make(chan time.Duration, 5)
		for range 5 {
			go func() {
				if ws.Do(t.Context(), nothing) == nil {
					took <- time.Since(start)
				}
			}()
		}
		synctest.Wait()
		err := ws.Do(t.Context(), func() error { panic("called") })
		require.True(t, errs.Exhausted.Is(err))
		require.EqualError(t, err, "all 2 workers are busy and 3 calls wait already")
		require.Equal(t, start, time.Now(), "a refusal is immediate")
		for _, seconds := range []int{1, 1, 2, 2, 3} {
			require.Equal(t, time.Duration(seconds)*time.Second, <-took)
		}
		require.NoError(t, ws.Do(t.Context(), nothing), "the queue is free again")
	})
}

func TestTenMayWaitPerWorkerWhereNothingIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ws := resilience.NewWorkers(resilience.Work{Time: time.Second, Workers: 2})
		var refused atomic.Int32
		for range 25 {
			go func() {
				if errs.Exhausted.Is(ws.Do(t.Context(), nothing)) {
					refused.Add(1)
				}
			}()
		}
		time.Sleep(time.Minute)
		require.EqualValues(t, 25-22, refused.Load())
	})
}

func TestACallWhoseContextEndsIsNotWorkedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ws := resilience.NewWorkers(resilience.Work{Time: time.Second, Workers: 1, Queue: 1})
		go func() { _ = ws.Do(t.Context(), nothing) }()
		synctest.Wait()
		for name, patience := range map[string]time.Duration{"while it waits": 500 * time.Millisecond, "while it is worked on": 1200 * time.Millisecond} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			start := time.Now()
			require.ErrorIs(t, ws.Do(ctx, func() error { panic("called " + name) }), context.DeadlineExceeded)
			require.Equal(t, patience, time.Since(start), name)
			cancel()
			time.Sleep(time.Minute)
			go func() { _ = ws.Do(t.Context(), nothing) }() // the place it had is free
			synctest.Wait()
		}
	})
}

func TestAPanicGivesTheWorkerBack(t *testing.T) {
	ws := resilience.NewWorkers(resilience.Work{Workers: 1, Queue: 1})
	for range 5 {
		require.Panics(t, func() { _ = ws.Do(t.Context(), func() error { panic("x") }) })
	}
	require.NoError(t, ws.Do(t.Context(), nothing))
}

// Whatever comes, and when, there are never more than the limit inside, and
// every call ends in one of three ways.
func TestNeverMoreThanTheLimitAreInside(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			work := resilience.Work{Time: time.Duration(r.IntN(5)) * time.Millisecond, Workers: 1 + r.IntN(4), Queue: 1 + r.IntN(6)}
			ws := resilience.NewWorkers(work)
			var inside, most, called, done, refused, late atomic.Int32
			for range 100 {
				time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
				inner, patience := time.Duration(r.IntN(10))*time.Millisecond, time.Duration(r.IntN(30))*time.Millisecond
				go func() {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					switch err := ws.Do(ctx, func() error {
						now := inside.Add(1)
						for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
						}
						time.Sleep(inner)
						inside.Add(-1)
						called.Add(1)
						return nil
					}); {
					case err == nil:
						done.Add(1)
					case errs.Exhausted.Is(err):
						refused.Add(1)
					case errs.Deadline.Is(err):
						late.Add(1)
					default:
						t.Errorf("%v: unexpected error %v", work, err)
					}
				}()
			}
			time.Sleep(time.Minute)
			require.LessOrEqual(t, int(most.Load()), work.Workers, "%v", work)
			require.Equal(t, called.Load(), done.Load())
			require.EqualValues(t, 100, done.Load()+refused.Load()+late.Load())
		})
	}
}
