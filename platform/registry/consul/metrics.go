package consul

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what a Registry does.
type metrics struct {
	registry *Registry
	updates  *prometheus.CounterVec
	errors   *prometheus.CounterVec
	again    *prometheus.CounterVec
	panics   *prometheus.CounterVec
	age      *prometheus.Desc
	size     *prometheus.Desc
}

// newMetrics makes the metrics of a registry and hands them to reg, which may
// be nil.
func newMetrics(reg prometheus.Registerer, r *Registry) (*metrics, error) {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "registry_" + name, Help: help}, []string{"role"})
	}
	m := &metrics{
		registry: r,
		updates:  counter("updates_total", "Changes of the list of a role."),
		errors:   counter("watch_errors_total", "Questions about a role that Consul did not answer."),
		again:    counter("reregistrations_total", "Times that Consul had lost or changed an instance of a role."),
		panics:   counter("panics_total", "Times that no instance of a role passed and those that do not were used."),
		age: prometheus.NewDesc("registry_list_age_seconds",
			"Time since Consul last confirmed the list of a role.", []string{"role"}, nil),
		size: prometheus.NewDesc("registry_list_instances",
			"Instances in the list of a role.", []string{"role"}, nil),
	}
	if reg == nil {
		return m, nil
	}
	if err := reg.Register(m); err != nil {
		return nil, fmt.Errorf("register metrics of the registry: %w", err)
	}
	return m, nil
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	m.updates.Describe(out)
	m.errors.Describe(out)
	m.again.Describe(out)
	m.panics.Describe(out)
	out <- m.age
	out <- m.size
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	m.updates.Collect(out)
	m.errors.Collect(out)
	m.again.Collect(out)
	m.panics.Collect(out)
	for _, s := range m.registry.Status() {
		out <- prometheus.MustNewConstMetric(m.age, prometheus.GaugeValue, s.Age.Seconds(), s.Role)
		out <- prometheus.MustNewConstMetric(m.size, prometheus.GaugeValue, float64(s.Instances), s.Role)
	}
}
