package policy_test

import (
	"fmt"
	"testing"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/policy"
	"example.com/app/platform/registry"
)

// BenchmarkPick is a pick and its end, as a call makes them.
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
				b.ReportAllocs()
				b.Run("pick", func(b *testing.B) {
					b.ReportAllocs()
					for range b.N {
						f, _ := lb.Pick(balance.Call{Key: 1})
						f.Done(balance.OK)
					}
				})
			})
		}
	}
}
