package zoo_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/zoo"
)

func TestZooScenariosHoldWithoutTheirBugs(t *testing.T) {
	eachBug(t, func(t *testing.T, b zoo.Bug) {
		for seed := range controls() {
			r := run(t, b.Scenario(false), sim.Options{Seed: seed})
			require.Empty(t, r.Violations, "seed %d: %v", seed, r.Faults)
		}
	})
}

func TestZooBugsAreFoundBySearch(t *testing.T) {
	eachBug(t, func(t *testing.T, b zoo.Bug) {
		for seed := begin(b); seed < 60; seed++ {
			if r := run(t, b.Scenario(true), sim.Options{Seed: seed}); r.Broken() {
				require.Equal(t, b.Invariant, r.Violations[0].Invariant, "seed %d: %v", seed, r.Violations)
				t.Logf("seed %d, %d faults: %v", seed, len(r.Faults), r.Violations[0])
				return
			}
		}
		require.Fail(t, "no seed of the first 60 breaks anything")
	})
}

func TestZooBugsDoNotShowWhereNothingGoesWrong(t *testing.T) {
	eachBug(t, func(t *testing.T, b zoo.Bug) {
		s := b.Scenario(true) // the same one each time: a run leaves nothing behind for the next
		for seed := range uint64(2) {
			r := run(t, s, sim.Options{Seed: seed, Faults: []fault.Fault{}})
			require.Empty(t, r.Violations, "seed %d", seed)
			require.NotZero(t, r.Requests)
		}
	})
}

func TestZooBugsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, b := range zoo.Bugs() {
		require.NotEmpty(t, b.Doc)
		require.Equal(t, "zoo-"+b.Name, b.Scenario(true).Name)
		require.False(t, seen[b.Name], b.Name)
		seen[b.Name] = true
	}
	require.GreaterOrEqual(t, len(seen), 8)
}

func eachBug(t *testing.T, test func(*testing.T, zoo.Bug)) {
	t.Helper()
	for _, b := range zoo.Bugs() {
		t.Run(b.Name, func(t *testing.T) { test(t, b) })
	}
}

// controls is how many seeds a negative control takes.
func controls() uint64 {
	if testing.Short() {
		return 1
	}
	return 5
}

// begin is where the search for a bug begins: the faults of that seed, most
// often, make it show. Without a twin no seed does so each time.
func begin(b zoo.Bug) uint64 {
	return map[string]uint64{
		"duplicate-effect": 1, "lost-update": 6, "zombie": 36, "clock-skew": 19, "drain-order": 1, "deadline": 6,
		"lock-across-call": 37, "stale-cache": 6, "half-config": 3, "early-ack": 1, "leaked-permit": 3,
	}[b.Name]
}

func run(t *testing.T, s sim.Scenario, o sim.Options) (report *sim.Report) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var err error
		report, err = s.Run(t.Context(), o)
		require.NoError(t, err)
	})
	return report
}
