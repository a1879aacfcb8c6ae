package policy_test

import (
	"fmt"
	"testing"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/policy"
	"example.com/app/platform/registry"
)

// BenchmarkPick is a pick, of so many instances.
func BenchmarkPick(b *testing.B) {
	for _, n := range []int{3, 16, 100} {
		for _, name := range policy.Names() {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				p, err := policy.Parse(name)
				if err != nil {
					b.Fatal(err)
				}
				lb := balance.New(balance.Config{Policy: p})
				defer lb.Close()
				var set []balance.Endpoint
				for i := range n {
					set = append(set, balance.Endpoint{Instance: registry.Instance{ID: fmt.Sprint(i)}})
				}
				lb.Update(set, n)
				var flights [8192]balance.Flight
				b.ReportAllocs()
				b.ResetTimer()
				for i := range b.N {
					at := i % len(flights)
					if at == 0 && i > 0 {
						b.StopTimer()
						for j := range flights {
							flights[j].Done(balance.OK)
						}
						b.StartTimer()
					}
					flights[at], _ = lb.Pick(balance.Call{Key: balance.Combine(uint64(i), 1)})
				}
			})
		}
	}
}
