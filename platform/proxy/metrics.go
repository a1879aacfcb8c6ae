package proxy

import (
	"fmt"
	"sync/atomic"
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

// A count is the metrics of one service. A class has a series from its first
// request on, and is not looked up again.
type count struct {
	of       *metrics
	service  string
	classes  [6]atomic.Pointer[prometheus.Counter] // the first is of what was cut
	duration atomic.Pointer[prometheus.Observer]
}

// observe counts a request. One without a status, or that ended in a panic,
// was cut.
func (c *count) observe(x *exchange, cut bool, took time.Duration) {
	class := 0
	if !cut && x.code >= 100 && x.code < 600 {
		class = x.code / 100
	}
	requests, duration := c.classes[class].Load(), c.duration.Load()
	if requests == nil || duration == nil {
		counter := c.of.requests.WithLabelValues(c.service, [...]string{"cut", "1xx", "2xx", "3xx", "4xx", "5xx"}[class])
		observer := c.of.duration.WithLabelValues(c.service)
		requests, duration = &counter, &observer
		c.classes[class].Store(requests)
		c.duration.Store(duration)
	}
	(*requests).Inc()
	(*duration).Observe(took.Seconds())
}
