package balance

import "github.com/prometheus/client_golang/prometheus"

// Collector collects the metrics of the balancers whose reports it is given.
// Instances are counted by state, never named: their ids would grow without end.
type Collector func() []Report

type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(Report) float64
}

func metrics() []metric {
	one := func(name, help string, kind prometheus.ValueType, read func(Report) float64) metric {
		return metric{prometheus.NewDesc("balance_"+name, help, []string{"callee"}, nil), kind, read}
	}
	counter, gauge := prometheus.CounterValue, prometheus.GaugeValue
	return []metric{
		one("listed_instances", "Instances in the registry, as far as this caller calls them.", gauge, func(r Report) float64 { return float64(r.Listed) }),
		one("panic", "1 while too few instances are fit, so that all that can be reached are called.", gauge, func(r Report) float64 { return is(r.Panic) }),
		one("spilling", "1 while the own zone is so slow that others are called.", gauge, func(r Report) float64 { return is(r.Spilling) }),
		one("calls_in_flight", "Calls that have not been answered.", gauge, func(r Report) float64 { return float64(r.inFlight()) }),
		one("ejections_total", "Times an instance was called no more for a while.", counter, func(r Report) float64 { return float64(r.Ejections) }),
		one("panics_total", "Times too few instances were fit.", counter, func(r Report) float64 { return float64(r.Panics) }),
		one("spilled_calls_total", "Calls that left the own zone because it was slow.", counter, func(r Report) float64 { return float64(r.Spills) }),
		one("trial_calls_total", "Calls that found out whether an ejected instance is well again.", counter, func(r Report) float64 { return float64(r.Trials) }),
	}
}

func is(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (r Report) inFlight() (sum int) {
	for _, p := range r.Peers {
		sum += p.InFlight
	}
	return sum
}

// states describes balance_instances, which has one more label.
func states() *prometheus.Desc {
	return prometheus.NewDesc("balance_instances", "Instances that can be reached, by whether they are called.", []string{"callee", "state"}, nil)
}

// Describe implements prometheus.Collector.
func (Collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range metrics() {
		out <- m.desc
	}
	out <- states()
}

// Collect implements prometheus.Collector.
func (c Collector) Collect(out chan<- prometheus.Metric) {
	reports, all := c(), metrics()
	for _, r := range reports {
		for _, m := range all {
			out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.read(r), r.Role)
		}
		count := make(map[State]int)
		for _, p := range r.Peers {
			count[p.State]++
		}
		for _, state := range []State{StateFit, StateNew, StateEjected, StateTrial, StateSpared} { // 0 too, lest a line ends
			out <- prometheus.MustNewConstMetric(states(), prometheus.GaugeValue, float64(count[state]), r.Role, string(state))
		}
	}
}
