package token

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"example.com/app/platform/auth"
)

// metrics of verifications are labelled by reasons, which are few: no token can
// make a new series.
type metrics struct {
	verifications *prometheus.CounterVec
	ok            prometheus.Counter
	hits          prometheus.Counter
}

// newMetrics registers the metrics of a Verifier and of its keys with r, or
// nowhere.
func newMetrics(r prometheus.Registerer, keys *fetches) (*metrics, error) {
	m := &metrics{
		verifications: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auth_token_verifications_total",
			Help: "Access tokens looked at, by result: OK, or the reason of the refusal.",
		}, []string{"result"}),
		hits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "auth_token_cache_hits_total",
			Help: "Access tokens that had been verified a short while before.",
		}),
	}
	m.ok = m.verifications.WithLabelValues("OK")
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.verifications, m.hits, keys.all, keys.keys} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics of access tokens: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) verified(err error) {
	if err == nil {
		m.ok.Inc()
		return
	}
	m.verifications.WithLabelValues(auth.Reason(err)).Inc()
}

// fetches are the metrics of a KeySet.
type fetches struct {
	all        *prometheus.CounterVec
	ok, failed prometheus.Counter
	keys       prometheus.Gauge
}

func newFetches() *fetches {
	all := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "auth_jwks_fetches_total",
		Help: "Fetches of the issuer's keys, by result: ok, or failed where the last good ones were kept.",
	}, []string{"result"})
	return &fetches{
		all:    all,
		ok:     all.WithLabelValues("ok"),
		failed: all.WithLabelValues("failed"),
		keys:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "auth_jwks_keys", Help: "Keys of the issuer that access tokens may be signed with."}),
	}
}
