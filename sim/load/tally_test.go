package load_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/quick"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/sim/load"
)

func TestTallyOfNothing(t *testing.T) {
	var tally load.Tally
	require.Zero(t, tally.Quantile(0.5))
	require.Zero(t, tally.Longest())
	require.Zero(t, tally.Calls())
	require.Zero(t, tally.Failed())
}

func TestTallyCounts(t *testing.T) {
	var tally load.Tally
	tally.Add(0, true)
	tally.Add(time.Second, false)
	tally.Add(time.Millisecond, true)
	require.Equal(t, 3, tally.Calls())
	require.Equal(t, 1, tally.Failed())
	require.Equal(t, time.Second, tally.Longest())
	require.Equal(t, time.Duration(0), tally.Quantile(0), "what takes no time takes none")
}

func TestTallyIsForManyGoroutines(t *testing.T) {
	var tally load.Tally
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 1000 {
				tally.Add(time.Duration(i), i%2 == 0)
				_ = tally.Quantile(0.5)
			}
		})
	}
	all.Wait()
	require.Equal(t, 8000, tally.Calls())
	require.Equal(t, 4000, tally.Failed())
}

// Whatever was added, a quantile is within 1 % of that of the sorted values.
func TestTallyQuantilesAreNearTheExactOnes(t *testing.T) {
	near := func(seed uint64, count uint16, share float64) bool {
		random := rand.New(rand.NewPCG(seed, 1))
		q := math.Abs(math.Mod(share, 1))
		var tally load.Tally
		exact := make([]time.Duration, 1+count%2000)
		for i := range exact { // from 1 µs to 100 s, evenly by logarithm
			exact[i] = time.Duration(1e3 * math.Pow(10, 8*random.Float64()))
			tally.Add(exact[i], true)
		}
		slices.Sort(exact)
		rank := max(1, int(math.Ceil(q*float64(len(exact)))))
		want, got := float64(exact[rank-1]), float64(tally.Quantile(q))
		if math.Abs(got-want) > 0.01*want+1 {
			t.Logf("quantile %v of %d values (seed %d): got %v, want %v", q, len(exact), seed, time.Duration(got), time.Duration(want))
			return false
		}
		return got <= float64(tally.Longest()) && tally.Longest() == exact[len(exact)-1]
	}
	require.NoError(t, quick.Check(near, &quick.Config{MaxCount: 300}))
}
