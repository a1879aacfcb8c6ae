package app

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/resilience"
)

// single lets one request in at a time, and one wait.
func single() map[string]resilience.LimitConfig {
	return map[string]resilience.LimitConfig{"": {Initial: 1, Min: 1, Max: 1}}
}

func TestOV2ARequestTooManyIsTurnedAwayWithRetryAfter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		over := make(chan struct{})
		cfg := Config{Limits: single(), Metrics: prometheus.NewRegistry()}
		_, v := serveWeb(t, cfg, func(w http.ResponseWriter, r *http.Request) {
			<-over
			greeting(w, r)
		})
		got := make(chan int, 2)
		for range 2 {
			go func() {
				status, _, _ := v.get("http://www-1:8080/")
				got <- status
			}()
			synctest.Wait()
		}
		start := time.Now()
		status, text, header := v.get("http://www-1:8080/")
		require.Equal(t, start, time.Now())
		require.Equal(t, http.StatusTooManyRequests, status)
		require.Equal(t, "1", header.Get("Retry-After"))
		require.Contains(t, text, `"RESOURCE_EXHAUSTED"`)
		require.Contains(t, text, `"OVERLOADED"`)
		require.Equal(t, map[string]float64{"limit_calls": 1, "limit_calls_in_use": 1, "limit_calls_waiting": 1, "limit_refused_calls_total": 1}, limits(t, cfg.Metrics))
		close(over)
		require.Equal(t, []int{200, 200}, []int{<-got, <-got})
	})
}

// limits are the metrics of all limiters, added up.
func limits(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	sums := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if len(f.GetName()) > 6 && f.GetName()[:6] == "limit_" {
				sums[f.GetName()] += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sums
}

func TestAnAnswerThatLastsHoldsNoPlace(t *testing.T) {
	for name, begin := range map[string]func(http.ResponseWriter){
		"a stream": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
			fmt.Fprint(w, "first")
			_ = http.NewResponseController(w).Flush()
		},
		"lines of JSON": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.(http.Flusher).Flush()
		},
		"a websocket": func(w http.ResponseWriter) { w.WriteHeader(http.StatusSwitchingProtocols) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				over := make(chan struct{})
				_, v := serveWeb(t, Config{Limits: single()}, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/lasts" {
						begin(w)
						<-over
						return
					}
					greeting(w, r)
				})
				go func() { _, _, _ = v.ask("http://www-1:8080/lasts") }()
				synctest.Wait()
				for range 3 {
					status, _, _ := v.get("http://www-1:8080/")
					require.Equal(t, 200, status)
				}
				close(over)
			})
		})
	}
}

func TestAnAnswerThatIsFlushedHoldsItsPlaceForAWhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		over := make(chan struct{})
		_, v := serveWeb(t, Config{Limits: single()}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/long" {
				fmt.Fprint(w, "first") // as a proxy does where it does not know how much will come
				_ = http.NewResponseController(w).Flush()
				<-over
				return
			}
			greeting(w, r)
		})
		go func() { _, _, _ = v.ask("http://www-1:8080/long") }()
		synctest.Wait()
		defer close(over)
		status, _, _ := v.get("http://www-1:8080/")
		require.Equal(t, http.StatusTooManyRequests, status, "it may still be a short one")
		time.Sleep(patient)
		status, _, _ = v.get("http://www-1:8080/")
		require.Equal(t, 200, status, "it is a long one, and holds no place any more")
	})
}

func TestAPlaceComesBackWhateverTheHandlerDoes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, v := serveWeb(t, Config{Limits: single()}, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/panics":
				panic(http.ErrAbortHandler)
			case "/breaks":
				w.WriteHeader(http.StatusBadGateway)
			case "/flushes":
				w.(http.Flusher).Flush()
				w.(http.Flusher).Flush()
			}
		})
		v.client.Transport.(*http.Transport).DisableKeepAlives = true
		for range 3 {
			for _, path := range []string{"/panics", "/breaks", "/flushes", "/"} {
				_, _, _ = v.ask("http://www-1:8080" + path)
			}
		}
		status, _, _ := v.get("http://www-1:8080/")
		require.Equal(t, 200, status)
	})
}

func TestTheLimitOfARoleIsItsOwnElseThatOfAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for role, want := range map[string]float64{"www": 7, "other": 9} {
			cfg := Config{Metrics: prometheus.NewRegistry(), Limits: map[string]resilience.LimitConfig{role: {Initial: 7}, "": {Initial: 9}}}
			serveWeb(t, cfg, greeting)
			require.InDelta(t, want, limits(t, cfg.Metrics)["limit_calls"], 0)
		}
	})
}
