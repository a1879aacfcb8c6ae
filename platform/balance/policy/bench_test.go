package policy_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/balancer"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/policy"
)

// BenchmarkPick is a pick, of so many instances, by our policies and by gRPC's
// own. A few hundred calls are in flight.
func BenchmarkPick(b *testing.B) {
	for _, n := range []int{3, 16, 100} {
		for _, name := range policy.Names() {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) { benchmarkOurs(b, name, n, nil) })
		}
		b.Run(fmt.Sprintf("prequal, asking/%d", n), func(b *testing.B) { benchmarkOurs(b, "prequal", n, answer) })
		for _, name := range grpcNames() {
			b.Run(fmt.Sprintf("grpc %s/%d", name, n), func(b *testing.B) { benchmarkGRPC(b, name, n) })
		}
	}
}

// answer answers a question for the load.
func answer(_ *balance.Peer, hear func(balance.Load)) {
	go hear(balance.Load{InFlight: 1, Latency: time.Millisecond})
}

func benchmarkOurs(b *testing.B, name string, n int, ask func(*balance.Peer, func(balance.Load))) {
	p, err := policy.Parse(name)
	if err != nil {
		b.Fatal(err)
	}
	lb := balance.New(balance.Config{Policy: p, Ask: ask})
	defer lb.Close()
	lb.Update(endpoints(n), n)
	var flights [256]balance.Flight
	benchmark(b,
		func(i, at int) { flights[at], _ = lb.Pick(balance.Call{Key: balance.Combine(uint64(i), 1)}) },
		func(at int) { flights[at].Done(balance.OK) })
}

func benchmarkGRPC(b *testing.B, name string, n int) {
	p := grpcPicker(b, name, n)
	var done [256]func(balancer.DoneInfo)
	benchmark(b,
		func(_, at int) {
			r, _ := p.Pick(balancer.PickInfo{})
			done[at] = r.Done
		},
		func(at int) {
			if done[at] != nil {
				done[at](balancer.DoneInfo{})
			}
		})
}

// benchmark times the picks alone.
func benchmark(b *testing.B, pick func(i, at int), done func(at int)) {
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		at := i % 256
		if at == 0 && i > 0 {
			b.StopTimer()
			for j := range 256 {
				done(j)
			}
			b.StartTimer()
		}
		pick(i, at)
	}
}

// BenchmarkTable is what a change of the list costs the first pick after it.
func BenchmarkTable(b *testing.B) {
	for _, name := range []string{"ring_hash", "maglev"} {
		b.Run(name, func(b *testing.B) {
			p, err := policy.Parse(name)
			if err != nil {
				b.Fatal(err)
			}
			lb := balance.New(balance.Config{Policy: p})
			defer lb.Close()
			set := endpoints(100)
			for i := range b.N {
				b.StopTimer()
				lb.Update(without(set, i%100), 99)
				b.StartTimer()
				f, _ := lb.Pick(balance.Call{Key: 1})
				f.Done(balance.OK)
			}
		})
	}
}
