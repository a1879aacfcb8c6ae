package integration

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/app"
	"example.com/app/services"
	"example.com/app/sim"
	"example.com/app/sim/load"
	"example.com/app/sim/scenarios"
)

// TestTheScenariosHold plays every scenario with the roles of the program, what
// has broken one of them before first.
func TestTheScenariosHold(t *testing.T) {
	for _, s := range append(scenarios.All(), services.Scenarios()...) {
		if s.Roles != nil {
			continue // it brings roles of its own, and is tested where it is
		}
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			sim.Test(t, s, sim.TestOptions{Roles: services.All, Seeds: 2})
		})
	}
}

// play runs a scenario in virtual time.
func play(t *testing.T, s sim.Scenario, o sim.Options) (report *sim.Report) {
	t.Helper()
	o.Roles = services.All
	synctest.Test(t, func(t *testing.T) {
		var err error
		report, err = s.Run(t.Context(), o)
		require.NoError(t, err)
	})
	return report
}

// TestScenariosWithTheirPointBrokenFail takes from each scenario what keeps it
// whole, or asks for more than it promises.
func TestScenariosWithTheirPointBrokenFail(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while, and says nothing of the program")
	}
	for name, broken := range map[string]struct {
		faults []string
		policy string
		calls  []load.Call
		want   string
	}{
		"rolling":      {faults: []string{"5s crash phrasebook for 2s"}, want: "no call fails, even one that is tried again"},
		"crash":        {faults: []string{"5s crash greeter for 10s"}, want: "requests are lost in the first 1s alone"},
		"powercut":     {faults: []string{"5s powercut greeter for 40s"}, want: "requests are lost in the first 20s alone"},
		"retry-storm":  {calls: []load.Call{stubborn()}, want: "retries stay within their budget"},
		"registry-cut": {faults: []string{"5s partition * <-> registry for 40s", "10s crash greeter for 1s"}, want: "no request is lost"},
		"split-view":   {faults: []string{"8s split-view gateway for 35s", "9s crash greeter for 2s"}, want: "no request is lost"},
		"slow-node":    {policy: "round_robin", want: "the slow greeter is asked less than half as much as its peers"},
		"herd":         {faults: []string{"8s crash greeter for 10s"}, want: "who finds nobody tries less and less often"},
		"clock":        {faults: []string{"10s skew greeter 28s for 9m30s", "10s skew issuer-1 -28s for 9m30s"}, want: "a token is good for as long as it says"},
		"rotation":     {faults: []string{"10s skew greeter 5m0s for 30s", "12s reset * <-> *"}, want: "no request is lost"},
		"gray":         {faults: []string{"5s lose-request greeter 1 for 15s"}, want: "an instance that fails is asked now and then alone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := scenarios.All()
			s := all[slices.IndexFunc(all, func(s sim.Scenario) bool { return s.Name == name })]
			o := sim.Options{Seed: 1}
			if broken.faults != nil {
				o.Faults = sim.Script(broken.faults...)(sim.Draft{})
			}
			if broken.calls != nil {
				s.Calls = broken.calls
			}
			if node := s.Node; broken.policy != "" {
				s.Node = func(cfg *app.Config) {
					node(cfg)
					cfg.Balance = map[string]app.Balance{"": {Policy: broken.policy}}
				}
			}
			report := play(t, s, o)
			t.Log(report.Violations)
			require.True(t, slices.ContainsFunc(report.Violations, func(v sim.Violation) bool { return v.Invariant == broken.want }), report.Violations)
		})
	}
}

// stubborn is a user who asks again and again.
func stubborn() load.Call {
	return load.Call{Name: "GET, ten times", Do: func(ctx context.Context, u *load.User) (err error) {
		for range 10 {
			if _, err = u.Get(ctx, "/v1/greetings/Ada"); err == nil {
				return nil
			}
		}
		return err
	}}
}
