package balance_test

import (
	"context"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	orca "github.com/cncf/xds/go/xds/data/orca/v3"
	"github.com/go-kratos/kratos/v2/selector"
	"github.com/go-kratos/kratos/v2/selector/p2c"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/balancer/weightedroundrobin"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/policy"
	"example.com/app/platform/balance/quality"
)

// The targets of the design: how many of the calls may reach a bad instance, in
// percent.
func target(n int) float64 {
	if n <= 3 {
		return 1
	}
	return 0.5
}

func TestQualityABadInstanceGetsNextToNoCalls(t *testing.T) {
	results := everyone(t, func(c quality.Config) (all []quality.Result) {
		for _, c.Scenario = range quality.Scenarios() {
			for _, c.Instances = range []int{2, 3, 10, 100} {
				if c.Instances == 100 && small() && !c.Scenario.Shares {
					continue // most of the calls are here
				}
				all = append(all, quality.Run(c))
			}
		}
		return all
	})
	print(t, results)

	checked := 0
	for _, r := range results {
		if r.Entrant == policy.Names()[0] && slices.Contains([]string{"slow", "churn", "fail-fast", "correlated"}, r.Scenario) {
			checked++
			require.GreaterOrEqual(t, r.During, 1200, "%s, %d instances", r.Scenario, r.Instances)
			require.LessOrEqual(t, r.Share(), target(r.Instances), "%s, %d instances", r.Scenario, r.Instances)
		}
	}
	require.Equal(t, 4*4, checked)
}

// The model is right where it gives what real gRPC gave, with real servers in
// virtual time (± 1 point then).
func TestQualityFiguresAreThoseOfRealCalls(t *testing.T) {
	scenario := make(map[string]quality.Scenario)
	for _, s := range quality.Scenarios() {
		scenario[s.Name] = s
	}
	want := map[string]map[string]float64{ // by entrant, then scenario and instances
		"grpc-go round_robin":      {"slow 2": 50, "slow 3": 33.4, "slow 10": 10, "churn 3": 29.2, "churn 10": 9.6, "fail-fast 3": 33.4, "fail-fast 10": 10},
		"grpc-go least_request 2":  {"slow 2": 26, "slow 3": 11, "slow 10": 1.3, "churn 3": 8.7, "churn 10": 1.3, "fail-fast 3": 44.9, "fail-fast 10": 11.4},
		"grpc-go least_request 10": {"slow 2": 1.6, "slow 3": 1.1, "slow 10": 0.5, "churn 3": 1, "churn 10": 0.5, "fail-fast 3": 53.4, "fail-fast 10": 11.8},
		"kratos p2c":               {"slow 2": 0.2, "slow 3": 0.2, "slow 10": 0.2, "churn 3": 3, "churn 10": 2.2, "fail-fast 3": 0.2, "fail-fast 10": 0.2},
	}
	everyone(t, func(c quality.Config) []quality.Result {
		for at, share := range want[c.Maker.Name] {
			name, n, _ := strings.Cut(at, " ")
			c.Scenario = scenario[name]
			c.Instances, _ = strconv.Atoi(n)
			require.InDelta(t, share, quality.Run(c).Share(), 0.4+min(0.25*share, 4), "%s, %s", c.Maker.Name, at)
		}
		return nil
	})
}

// In the paper weighted round robin meets its timeout at 1.03 of the load, and
// loses a quarter of the calls at 1.74, where Prequal loses none.
func TestQualityRoundRobinIsLeftBehindInTheRamp(t *testing.T) {
	results := everyone(t, func(c quality.Config) []quality.Result {
		if small() {
			c.Instances = 40
		}
		return quality.Ramp(c)
	})
	print(t, results)

	steps := make(map[string][]quality.Result)
	for _, r := range results {
		steps[r.Entrant] = append(steps[r.Entrant], r)
	}
	prequal, usual := steps["prequal"], steps[policy.Names()[0]]
	for i := range prequal {
		require.Zero(t, prequal[i].Lost, "at %.2f", prequal[i].Offered)
		require.Less(t, prequal[i].P999, quality.Patience-time.Second, "at %.2f", prequal[i].Offered)
		if i < 5 { // below 1.27
			require.LessOrEqual(t, usual[i].Lost, usual[i].Calls/10000, "at %.2f", usual[i].Offered)
			continue
		}
		for _, name := range []string{"round_robin", "weighted_round_robin", "grpc-go round_robin", "grpc-go weighted_round_robin"} {
			r := steps[name][i]
			require.Equal(t, quality.Patience, r.P999, "%s at %.2f", name, r.Offered)
			require.Greater(t, r.Lost, r.Calls/100, "%s at %.2f", name, r.Offered)
			require.Greater(t, r.P90, 5*prequal[i].P90, "%s at %.2f", name, r.Offered)
			require.Greater(t, r.Lost, 10*usual[i].Lost, "%s at %.2f", name, r.Offered)
		}
	}
}

func TestQualityIsTheSameEachTime(t *testing.T) {
	for _, name := range policy.Names() {
		for _, s := range quality.Scenarios() {
			c := quality.Config{Scenario: s, Maker: quality.Ours(name), Instances: 4, Calls: 300}
			require.Equal(t, quality.Run(c), quality.Run(c), "%s, %s", name, s.Name)
		}
	}
}

func TestQualityIsTheSameInABubble(t *testing.T) {
	c := quality.Config{Scenario: quality.Scenarios()[1], Maker: quality.Ours("")}
	want := quality.Run(c)
	synctest.Test(t, func(t *testing.T) {
		c.Sleep = time.Sleep
		began := time.Now()
		require.Equal(t, want, quality.Run(c))
		require.Greater(t, time.Since(began), 10*time.Second, "the bubble's time went along")
	})
}

// everyone runs something for every entrant, and returns the results in order.
func everyone(t *testing.T, run func(quality.Config) []quality.Result) (all []quality.Result) {
	var makers []quality.Maker
	for _, name := range policy.Names() {
		makers = append(makers, quality.Ours(name))
	}
	makers = append(makers, quality.Theirs()...)
	makers = append(makers, clockworks()...)
	if small() { // these cost as much as all others
		makers = slices.DeleteFunc(makers, func(m quality.Maker) bool { return m.Name == "ring_hash" || m.Name == "maglev" })
	}
	results := make([][]quality.Result, len(makers))
	t.Run("entrants", func(t *testing.T) {
		for i, m := range makers {
			t.Run(strings.ReplaceAll(m.Name, " ", "_"), func(t *testing.T) {
				t.Parallel()
				if !slices.Contains([]string{"grpc-go weighted_round_robin", "kratos p2c"}, m.Name) {
					results[i] = run(quality.Config{Maker: m})
					return
				}
				synctest.Test(t, func(*testing.T) {
					results[i] = run(quality.Config{Maker: m, Sleep: time.Sleep})
				})
			})
		}
	})
	return slices.Concat(results...)
}

func print(t *testing.T, results []quality.Result) {
	var out strings.Builder
	require.NoError(t, quality.Table(&out, results))
	t.Log(out.String())
}

// clockworks are entrants that look at the clock themselves: they need a bubble.
func clockworks() []quality.Maker {
	weighted := quality.GRPC{Name: weightedroundrobin.Name, Server: func(r quality.Report) any {
		return &orca.OrcaLoadReport{CpuUtilization: r.Utilisation, RpsFractional: r.Calls, Eps: r.Failed}
	}}.Maker("grpc-go weighted_round_robin")
	weighted.Warm = 12 * time.Second // it does not go by an instance's load for 10 s
	return []quality.Maker{weighted, {Name: "kratos p2c", New: newKratos}}
}

// kratos is the selector of kratos v2.8.3.
type kratos struct{ selector.Selector }

func newKratos(quality.Ground) quality.Entrant { return kratos{p2c.New()} }

func (k kratos) Update(set []quality.Instance) {
	nodes := make([]selector.Node, len(set))
	for i, in := range set {
		nodes[i] = selector.NewNode("grpc", strconv.Itoa(in.Number), nil)
	}
	k.Apply(nodes)
}

func (k kratos) Pick() (int, func(balance.Outcome, quality.Report)) {
	node, done, err := k.Select(context.Background())
	if err != nil {
		return -1, nil
	}
	number, err := strconv.Atoi(node.Address())
	if err != nil {
		return -1, nil
	}
	return number, func(o balance.Outcome, _ quality.Report) {
		done(context.Background(), selector.DoneInfo{Err: quality.Failure(o)})
	}
}

// small tells whether there is no time for all of it: it takes the race
// detector ten times as long.
func small() bool {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-race" && s.Value == "true" {
				return true
			}
		}
	}
	return testing.Short()
}
