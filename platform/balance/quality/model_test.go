package quality

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/balance"
)

const tick = time.Millisecond

// A bank is one instance whose calls take 10 ms of a processor.
type bank struct {
	*model
	ends map[string]time.Duration
}

func newBank(processors float64) *bank {
	b := &bank{newModel(&loop{}, rand.New(rand.NewPCG(1, 1))), make(map[string]time.Duration)}
	b.work, b.processors, b.granted = 10*tick, processors, processors
	return b
}

// call sends a call at a time, and notes when it was answered.
func (b *bank) call(name string, at time.Duration) {
	b.loop.after(at, func() {
		b.serve(func(balance.Outcome) { b.ends[name] = b.loop.now })
	})
}

// about rounds: a job may end a few nanoseconds late.
func (b *bank) about(name string) time.Duration { return b.ends[name].Round(time.Microsecond) }

func TestThingsHappenInOrder(t *testing.T) {
	l, slept := &loop{}, time.Duration(0)
	l.sleep = func(d time.Duration) { slept += d }
	var order []string
	l.after(2*tick, func() { order = append(order, "third") })
	l.after(tick, func() {
		order = append(order, "first")
		l.after(-tick, func() { order = append(order, "second") })
	})
	l.after(2*tick, func() { order = append(order, "fourth") })
	l.after(9*tick, func() { order = append(order, "too late") })
	l.until(8 * tick)
	require.Equal(t, []string{"first", "second", "third", "fourth"}, order)
	require.Equal(t, 2*tick, slept)
	require.Equal(t, 2*tick, l.now)
}

func TestCallsShareTheProcessors(t *testing.T) {
	b := newBank(1)
	b.call("one", 0)
	b.call("other", 5*tick)
	b.loop.until(never)
	require.Equal(t, 15*tick, b.about("one"), "5 ms alone, and 5 ms of work for two")
	require.Equal(t, 20*tick, b.about("other"))
	require.Equal(t, 2, b.highest)
	require.Zero(t, b.inFlight)
}

func TestACallHasOneProcessorAtMost(t *testing.T) {
	b := newBank(4)
	b.call("one", 0)
	b.call("other", 0)
	b.loop.until(never)
	require.Equal(t, 10*tick, b.about("one"))
	require.Equal(t, 10*tick, b.about("other"))
}

func TestProcessorsComeAndGo(t *testing.T) {
	b := newBank(1)
	b.call("one", 0)
	b.loop.after(2*tick, func() { b.change(func(m *model) { m.processors = 0.5 }) })
	b.loop.after(6*tick, func() { b.change(func(m *model) { m.processors = 2 }) })
	b.loop.until(never)
	require.Equal(t, 12*tick, b.about("one"), "2 ms, 4 ms at half the speed, and 6 ms")
}

func TestACallThatIsCalledOffMakesRoom(t *testing.T) {
	b := newBank(1)
	b.call("one", 0)
	b.loop.after(0, func() {
		off := b.serve(func(balance.Outcome) { b.ends["other"] = b.loop.now })
		b.loop.after(4*tick, off)
		b.loop.after(5*tick, off)
	})
	b.loop.until(never)
	require.Equal(t, 12*tick, b.about("one"))
	require.NotContains(t, b.ends, "other")
	require.Zero(t, b.inFlight)
}

func TestASilentInstanceAnswersNothing(t *testing.T) {
	b := newBank(1)
	b.call("before", 0)
	b.loop.after(5*tick, func() { b.change(func(m *model) { m.silent = true }) })
	b.call("after", 6*tick)
	b.loop.until(never)
	require.Empty(t, b.ends)
	require.Equal(t, 2, b.inFlight)
}

func TestHowACallIsTurnedAway(t *testing.T) {
	for _, c := range []struct {
		change func(*model)
		want   balance.Outcome
	}{
		{func(m *model) { m.fails = 1 }, balance.Failed},
		{func(m *model) { m.refuses = true }, balance.Unreachable},
	} {
		b := newBank(1)
		b.change(c.change)
		var got []balance.Outcome
		b.serve(func(o balance.Outcome) { got = append(got, o) })
		b.loop.until(never)
		require.Equal(t, []balance.Outcome{c.want}, got)
		require.Equal(t, instantly, b.loop.now)
		require.Equal(t, 1.0, b.report().Failed)
	}
}

func TestAnInstanceSaysHowBusyItWasLately(t *testing.T) {
	b := newBank(2)
	for i := range 500 {
		b.call("", time.Duration(i)*20*tick)
	}
	b.loop.until(never)
	r := b.report()
	require.InDelta(t, 0.25, r.Utilisation, 0.01, "one of two processors, half of the time")
	require.InDelta(t, 50, r.Calls, 1)
	require.Zero(t, r.Failed)
	b.loop.after(10*time.Second, func() {})
	b.loop.until(never)
	require.InDelta(t, 0, b.report().Utilisation, 0.001)
}

func TestAProbeTellsWhatCallsTakeAtThisLoad(t *testing.T) {
	b := newBank(1)
	require.Zero(t, b.load())
	for i := range 8 { // alone, and four at a time
		b.call("", time.Duration(i)*time.Second)
		for range 4 {
			b.call("", time.Duration(i)*time.Second+500*tick)
		}
	}
	b.loop.until(never)
	for range 3 {
		b.serve(func(balance.Outcome) {})
	}
	l := b.load()
	require.Equal(t, 3, l.InFlight)
	require.Equal(t, 40*tick, l.Latency.Round(tick))
}
