package proxy

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are labelled by the services of the routes and by class of status,
// so that no request can make a new series.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// newMetrics registers the metrics with r, or nowhere.
func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "app_proxy_requests_total",
			Help: "Requests for a service, by class of status; cut: the answer broke off.",
		}, []string{"service", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "app_proxy_request_duration_seconds",
			Help:    "From the first byte of a request to the last of its answer.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 13), // 1 ms to 60 s
		}, []string{"service"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register the proxy's metrics: %w", err)
		}
	}
	return m, nil
}

// observe counts a request. One without a status, or that ended in a panic,
// was cut.
func (m *metrics) observe(x *exchange, cut bool, took time.Duration) {
	class := "cut"
	if classes := [...]string{1: "1xx", 2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}; !cut && x.code >= 100 && x.code < 600 {
		class = classes[x.code/100]
	}
	m.requests.WithLabelValues(x.service, class).Inc()
	m.duration.WithLabelValues(x.service).Observe(took.Seconds())
}
