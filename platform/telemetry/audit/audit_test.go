package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/telemetry"
)

// written is a Log, what it wrote, and what it counted.
func written(t *testing.T) (*Log, *bytes.Buffer, *prometheus.Registry) {
	t.Helper()
	var out bytes.Buffer
	log, err := telemetry.NewLog(&out, telemetry.LogConfig{Format: "json"})
	require.NoError(t, err)
	reg := prometheus.NewRegistry()
	l, err := New(Config{Log: log.With("role", "greeter"), Metrics: prometheus.WrapRegistererWith(prometheus.Labels{"role": "greeter"}, reg)})
	require.NoError(t, err)
	return l, &out, reg
}

func families(t *testing.T, reg *prometheus.Registry) []*dto.MetricFamily {
	t.Helper()
	all, err := reg.Gather()
	require.NoError(t, err)
	return all
}

// totals are the counts by the values of their labels.
func totals(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	all := make(map[string]float64)
	for _, f := range families(t, reg) {
		require.Equal(t, "authz_denials_total", f.GetName())
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			all[strings.Join(values, " ")] = m.GetCounter().GetValue()
		}
	}
	return all
}

func lines(out *bytes.Buffer) int { return strings.Count(out.String(), "\n") }

func TestDenialIsWrittenInTheWordsOfTheElasticCommonSchema(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, out, reg := written(t)
		l.Denied(t.Context(), Denial{
			Method: "/greeter.v1.Greeter/SayHello", Peer: "spiffe://app/ns/default/dc/dc1/svc/gateway", Subject: "ada", Client: "demo",
			Reason: "SCOPE_MISSING", Kind: errs.Denied, RequestID: "r1",
		})
		var line map[string]any
		require.NoError(t, json.Unmarshal(out.Bytes(), &line))
		delete(line, "@timestamp")
		delete(line, "ecs.version")
		require.Equal(t, map[string]any{
			"log.level": "warn", "message": "call denied", "service.type": "greeter",
			"event.kind": "event", "event.category": []any{"iam", "api"}, "event.type": []any{"denied"},
			"event.action": "call-denied", "event.outcome": "failure", "event.reason": "SCOPE_MISSING", "event.code": "PERMISSION_DENIED",
			"method": "/greeter.v1.Greeter/SayHello", "client.address": "spiffe://app/ns/default/dc/dc1/svc/gateway",
			"user.id": "ada", "labels.oauth_client": "demo", "http.request.id": "r1",
		}, line)

		out.Reset()
		l.Denied(t.Context(), Denial{Method: "GET", Reason: "TOKEN_MISSING", Kind: errs.Unauthenticated})
		require.Contains(t, out.String(), `"event.category":["authentication","api"]`)
		require.NotContains(t, out.String(), "user.id")
		require.Equal(t, map[string]float64{"SCOPE_MISSING greeter": 1, "TOKEN_MISSING greeter": 1}, totals(t, reg))
		problems, err := promlint.NewWithMetricFamilies(families(t, reg)).Lint()
		require.NoError(t, err)
		require.Empty(t, problems)
	})
}

func TestFloodOfDenialsIsCountedAndNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, out, reg := written(t)
		d := Denial{Method: "/greeter.v1.Greeter/SayHello", Reason: "TOKEN_EXPIRED", Kind: errs.Unauthenticated}
		for range 60 {
			for range 1000 {
				l.Denied(t.Context(), d)
			}
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, lines(out), 10+6)
		require.GreaterOrEqual(t, lines(out), 10+5)
		d.Method = "/greeter.v1.Greeter/SayHelloStream"
		before := lines(out)
		l.Denied(t.Context(), d)
		require.Equal(t, before+1, lines(out), "another method is not silenced by it")
		d.Method = "/greeter.v1.Greeter/SayHello"
		time.Sleep(kindEvery)
		out.Reset()
		l.Denied(t.Context(), d)
		require.Regexp(t, `"suppressed":\d{4}`, out.String(), "the line tells of those it stands for")
		require.Equal(t, map[string]float64{"TOKEN_EXPIRED greeter": 60_002}, totals(t, reg))
	})
}

func TestEX4InventedMethodsAndReasonsCostNeitherDiskNorMemoryNorSeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, out, reg := written(t)
		long := strings.Repeat("x", 1<<20)
		for i := range 5_000 {
			l.Denied(t.Context(), Denial{Method: fmt.Sprintf("/evil.v%d.Service/Method", i), Reason: fmt.Sprintf("REASON_%d", i), Kind: errs.Denied})
			l.Denied(t.Context(), Denial{Method: long, Reason: "made up\n", Kind: errs.Denied})
		}
		require.Equal(t, totalBurst, lines(out), "in all")
		require.Less(t, out.Len(), totalBurst*1000)
		require.LessOrEqual(t, len(l.seen), kinds+labels+1)
		require.Len(t, totals(t, reg), labels+1)

		time.Sleep(2 * kindBurst * kindEvery)
		out.Reset()
		l.Denied(t.Context(), Denial{Method: "/greeter.v1.Greeter/SayHello", Reason: "REASON_1", Kind: errs.Denied})
		require.Equal(t, 1, lines(out))
		require.Less(t, len(l.seen), 3, "what nobody invents any more is forgotten")
	})
}

func TestDenialsAreWrittenFromManyGoroutines(t *testing.T) {
	reg := prometheus.NewRegistry()
	l, err := New(Config{Log: slog.New(slog.DiscardHandler), Metrics: reg})
	require.NoError(t, err)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 100 {
				l.Denied(t.Context(), Denial{Method: fmt.Sprint(i * j), Reason: "A", Kind: errs.Denied})
			}
		})
	}
	all.Wait()
	require.Equal(t, map[string]float64{"A": 800}, totals(t, reg))
	_, err = New(Config{Metrics: reg})
	require.Error(t, err, "two of one name")
}

// BenchmarkDenied measures a denial in a flood.
func BenchmarkDenied(b *testing.B) {
	l, err := New(Config{Log: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		l.Denied(b.Context(), Denial{Method: "/greeter.v1.Greeter/SayHello", Reason: "TOKEN_EXPIRED", Kind: errs.Unauthenticated})
	}
}
