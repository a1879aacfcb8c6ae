package resilience_test

import (
	"testing"

	"example.com/app/platform/resilience"
)

func BenchmarkLimiter(b *testing.B) {
	l := resilience.NewLimiter(resilience.LimitConfig{})
	ask := resilience.Ask{Client: 7, Kind: l.NewKind()}
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p, err := l.Acquire(b.Context(), ask)
			if err != nil {
				b.Fatal(err)
			}
			p.Release(resilience.Served)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		ctx := b.Context()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if p, err := l.Acquire(ctx, ask); err == nil {
					p.Release(resilience.Served)
				}
			}
		})
	})
}

func BenchmarkBudget(b *testing.B) {
	budget := resilience.NewBudget(resilience.BudgetConfig{})
	b.ReportAllocs()
	for b.Loop() {
		budget.Call()
	}
}
