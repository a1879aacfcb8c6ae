package identity

import "github.com/prometheus/client_golang/prometheus"

// metrics counts what a Workload does.
type metrics struct {
	workload  *Workload
	rotations prometheus.Counter
	errors    prometheus.Counter
	refused   prometheus.Counter
	expiry    *prometheus.Desc
}

func newMetrics(w *Workload) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "identity_" + name, Help: help})
	}
	return &metrics{
		workload:  w,
		rotations: counter("rotations_total", "Changes of the certificate or of the roots."),
		errors:    counter("source_errors_total", "Times that the source of certificates failed, or yielded one that does not fit."),
		refused:   counter("peers_refused_total", "Handshakes refused because of the peer's certificate."),
		expiry: prometheus.NewDesc("identity_certificate_expiry_timestamp_seconds",
			"When the certificate that is held expires, in Unix time; absent before there is one.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	m.rotations.Describe(out)
	m.errors.Describe(out)
	m.refused.Describe(out)
	out <- m.expiry
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	m.rotations.Collect(out)
	m.errors.Collect(out)
	m.refused.Collect(out)
	if held := m.workload.held.Load(); held != nil {
		out <- prometheus.MustNewConstMetric(m.expiry, prometheus.GaugeValue, float64(held.leaf.NotAfter.Unix()))
	}
}
