package resilience

import "github.com/prometheus/client_golang/prometheus"

// What a Limiter and a Budget tell Prometheus. Nothing that callers make up is
// in a label.
func limitDesc() *prometheus.Desc {
	return prometheus.NewDesc("limit_calls", "Calls that are worked on at a time, at most.", nil, nil)
}

func inUseDesc() *prometheus.Desc {
	return prometheus.NewDesc("limit_calls_in_use", "Places of the limit that are taken.", nil, nil)
}

func waitingDesc() *prometheus.Desc {
	return prometheus.NewDesc("limit_calls_waiting", "Calls that wait to be let in.", nil, nil)
}

func refusedDesc() *prometheus.Desc {
	return prometheus.NewDesc("limit_refused_calls_total", "Calls that were refused because there were too many, by priority.", []string{"priority"}, nil)
}

// Describe implements prometheus.Collector.
func (*Limiter) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{limitDesc(), inUseDesc(), waitingDesc(), refusedDesc()} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (l *Limiter) Collect(out chan<- prometheus.Metric) {
	l.mu.Lock()
	limit, inUse, waiting, refused := l.limit, l.inUse, len(l.waiting), l.refused
	l.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	gauge(limitDesc(), limit)
	gauge(inUseDesc(), float64(inUse))
	gauge(waitingDesc(), float64(waiting))
	for i, n := range refused {
		out <- prometheus.MustNewConstMetric(refusedDesc(), prometheus.CounterValue, float64(n), (Sheddable + Priority(i)).String())
	}
}
