package scenarios_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/app"
	"example.com/app/platform/resilience"
	"example.com/app/sim"
	"example.com/app/sim/scenarios"
	"example.com/app/sim/scenarios/shop"
)

// play runs a scenario in virtual time.
func play(t *testing.T, s sim.Scenario, o sim.Options) (report *sim.Report) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var err error
		report, err = s.Run(t.Context(), o)
		require.NoError(t, err)
	})
	return report
}

// seeds are those that a scenario must hold for.
func seeds() []uint64 {
	if testing.Short() {
		return []uint64{1}
	}
	return []uint64{1, 2, 3}
}

func TestTheScenariosOfTheShopHold(t *testing.T) {
	for _, s := range scenarios.All() {
		if s.Roles == nil {
			continue // integration has the program's
		}
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			for _, seed := range seeds() {
				report := play(t, s, sim.Options{Seed: seed})
				t.Logf("seed %d: %d requests, %d failed, first %.120s", seed, report.Requests, report.Failed, report.FirstLost)
				require.Empty(t, report.Violations, "seed %d", seed)
				require.Positive(t, report.Requests)
			}
		})
	}
}

// careless keeps stock as no shop should.
type careless struct {
	shop.Keeper
	wait time.Duration // that a sale takes, whether anybody waits for it or not
}

func (c careless) Take(order string) bool {
	if c.wait > 0 {
		<-time.After(c.wait)
		return c.Keeper.Take(order)
	}
	return true
}

// TestScenariosOfTheShopWithTheirPointBrokenFail has a stock that forgets whom
// it sold to, one that heeds no deadline, one that takes in all that comes, and
// a registry without a zombie.
func TestScenariosOfTheShopWithTheirPointBrokenFail(t *testing.T) {
	for name, broken := range map[string]struct {
		keeper shop.Keeper
		limits map[string]resilience.LimitConfig
		fleet  map[string]int
		want   string
	}{
		"retry-effect": {keeper: careless{}, want: "an order is sold once"},
		"deadlines":    {keeper: careless{shop.Ledger(), 1500 * time.Millisecond}, want: "nobody works on when the deadline has passed"},
		"overload":     {limits: map[string]resilience.LimitConfig{"": {Off: true}}, want: "no queue is long"},
		"zombie":       {fleet: map[string]int{"gateway": 2, "orders": 2, "stock": 1}, want: "sometimes: the zombie is listed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := scenarios.All()
			s := all[slices.IndexFunc(all, func(s sim.Scenario) bool { return s.Name == name })]
			if broken.keeper != nil {
				s.Roles = shop.Roles(func() shop.Keeper { return broken.keeper })
			}
			if node := s.Node; broken.limits != nil {
				s.Node = func(cfg *app.Config) {
					node(cfg)
					cfg.Limits = broken.limits
				}
			}
			report := play(t, s, sim.Options{Seed: 1, Fleet: broken.fleet})
			t.Log(report.Violations)
			require.True(t, slices.ContainsFunc(report.Violations, func(v sim.Violation) bool { return v.Invariant == broken.want }), report.Violations)
		})
	}
}

func TestEveryScenarioHasANameAndALine(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range scenarios.All() {
		require.False(t, seen[s.Name], s.Name)
		require.NotEmpty(t, s.Doc, s.Name)
		seen[s.Name] = true
	}
	require.Len(t, seen, 16)
}
