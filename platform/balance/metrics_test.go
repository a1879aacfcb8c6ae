package balance_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/policy"
)

// scraped is what Prometheus would read.
func scraped(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	require.NoError(t, reg.Register(c))
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/", nil))
	require.Equal(t, 200, answer.Code, answer.Body)
	return answer.Body.String()
}

func TestMetricsCountInstancesByState(t *testing.T) {
	reports := balance.Collector(func() []balance.Report {
		return []balance.Report{
			{Role: "greeter", Listed: 4, Panic: true, Ejections: 7, Panics: 2, Trials: 3, Peers: []balance.Row{
				{ID: "a", State: balance.StateFit, InFlight: 2}, {ID: "b", State: balance.StateEjected}, {ID: "c", State: balance.StateEjected, InFlight: 1},
			}},
			{Role: "shop", Spilling: true, Spills: 5},
		}
	})
	text := scraped(t, reports)
	require.Equal(t, `# HELP balance_calls_in_flight Calls that have not been answered.
# TYPE balance_calls_in_flight gauge
balance_calls_in_flight{callee="greeter"} 3
balance_calls_in_flight{callee="shop"} 0
# HELP balance_ejections_total Times an instance was called no more for a while.
# TYPE balance_ejections_total counter
balance_ejections_total{callee="greeter"} 7
balance_ejections_total{callee="shop"} 0
# HELP balance_instances Instances that can be reached, by whether they are called.
# TYPE balance_instances gauge
balance_instances{callee="greeter",state="ejected"} 2
balance_instances{callee="greeter",state="fit"} 1
balance_instances{callee="greeter",state="on trial"} 0
balance_instances{callee="greeter",state="slow start"} 0
balance_instances{callee="greeter",state="spared"} 0
balance_instances{callee="shop",state="ejected"} 0
balance_instances{callee="shop",state="fit"} 0
balance_instances{callee="shop",state="on trial"} 0
balance_instances{callee="shop",state="slow start"} 0
balance_instances{callee="shop",state="spared"} 0
# HELP balance_listed_instances Instances in the registry, as far as this caller calls them.
# TYPE balance_listed_instances gauge
balance_listed_instances{callee="greeter"} 4
balance_listed_instances{callee="shop"} 0
# HELP balance_panic 1 while too few instances are fit, so that all that can be reached are called.
# TYPE balance_panic gauge
balance_panic{callee="greeter"} 1
balance_panic{callee="shop"} 0
# HELP balance_panics_total Times too few instances were fit.
# TYPE balance_panics_total counter
balance_panics_total{callee="greeter"} 2
balance_panics_total{callee="shop"} 0
# HELP balance_spilled_calls_total Calls that left the own zone because it was slow.
# TYPE balance_spilled_calls_total counter
balance_spilled_calls_total{callee="greeter"} 0
balance_spilled_calls_total{callee="shop"} 5
# HELP balance_spilling 1 while the own zone is so slow that others are called.
# TYPE balance_spilling gauge
balance_spilling{callee="greeter"} 0
balance_spilling{callee="shop"} 1
# HELP balance_trial_calls_total Calls that found out whether an ejected instance is well again.
# TYPE balance_trial_calls_total counter
balance_trial_calls_total{callee="greeter"} 3
balance_trial_calls_total{callee="shop"} 0
`, text)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestMetricsDoNotGrowWithTheInstances(t *testing.T) {
	in(t, balance.Config{Role: "greeter", Policy: policy.PeakEWMA{}}, func(t *testing.T, w *world) {
		reports := balance.Collector(func() []balance.Report { return []balance.Report{w.Explain()} })
		before := strings.Count(scraped(t, reports), "\n")
		for round := range 5 {
			var ids []string
			for i := range 50 {
				ids = append(ids, fmt.Sprintf("start-%d-%d", round, i))
			}
			w.Update(endpoints(ids...), 50)
			w.calls(100, failing(balance.Failed, ids[0]))
			time.Sleep(time.Minute)
		}
		require.Equal(t, before, strings.Count(scraped(t, reports), "\n"))
	})
}
