package rpc

import "github.com/prometheus/client_golang/prometheus"

// HedgeMetrics counts the second copies that clients send, by the role they
// call.
type HedgeMetrics struct {
	sent, won, denied *prometheus.CounterVec
}

// NewHedgeMetrics returns metrics for all clients of an instance. They are to
// be registered by whoever made them.
func NewHedgeMetrics() *HedgeMetrics {
	count := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "grpc_client_hedges_" + name + "total", Help: help}, []string{"callee"})
	}
	return &HedgeMetrics{
		sent:   count("", "Second copies of calls that took long."),
		won:    count("won_", "Second copies whose answer was taken."),
		denied: count("denied_", "Second copies that were not sent, because the budget was used up or instances had too much to do."),
	}
}

// Describe implements prometheus.Collector.
func (m *HedgeMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, v := range []*prometheus.CounterVec{m.sent, m.won, m.denied} {
		v.Describe(out)
	}
}

// Collect implements prometheus.Collector.
func (m *HedgeMetrics) Collect(out chan<- prometheus.Metric) {
	for _, v := range []*prometheus.CounterVec{m.sent, m.won, m.denied} {
		v.Collect(out)
	}
}
