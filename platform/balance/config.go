package balance

import (
	"log/slog"
	"time"
)

// A Config says how a Balancer shares calls. The zero value of everything but
// Policy is its default.
type Config struct {
	Role   string // whose instances; for logs and metrics
	Policy Policy // needed; package policy has them all

	Seed uint64 // of every random choice; 0: another one each time
	Log  *slog.Logger

	// Prober asks instances for their load, where the policy wants to know.
	// Nil: nobody is asked. ProbeTimeout bounds the wait for an answer; 0 means
	// 10 ms.
	Prober       Prober
	ProbeTimeout time.Duration

	// Now and Ask stand in for the clock and for the goroutines that use the
	// Prober, where time is only counted: Now is the time since the Balancer was
	// made, Ask sees to it that hear is called later, or never. Nil: the real
	// ones.
	Now func() time.Duration
	Ask func(p *Peer, hear func(Load))

	// Memory is how long an answer counts: after three times as long without
	// news little is left of it, and an instance that was avoided is tried
	// again. 0 means 10 s.
	Memory time.Duration

	// SlowStart is the time in which a new instance comes to its full share,
	// from a tenth of it. 0 means 5 s; below 0: at once.
	SlowStart time.Duration

	// Keep is how long an instance that left the list is remembered, in case it
	// comes back. 0 means 5 min.
	Keep time.Duration

	Eject Ejection
	Zone  Zone

	// Panic is the share of the listed instances that must be fit to be called.
	// Below it all that can be reached are called, ejected or not, lest the few
	// that are left be crushed. 0 means 0.5; below 0: never.
	Panic float64
}

// Ejection says when an instance is called no more for a while (outlier
// ejection, gRFC A50). At most half of the instances are ejected at a time.
type Ejection struct {
	Off bool

	Row int // failures in a row; 0 means 5

	// Every is how often success rates are compared; an instance that had Calls
	// in that time is ejected where its rate is below that of its peers by
	// Below and by 1.9 standard deviations. 0 means 5 s, 10 calls, 0.15.
	Every time.Duration
	Calls int
	Below float64

	// For is the time of the first ejection; each one that follows soon takes
	// twice as long, up to AtMost. Then a single call tries it, and Back calls
	// in a row must succeed. 0 means 5 s, 2 min, 3 calls.
	For, AtMost time.Duration
	Back        int

	// Refused is the same for an instance that refuses connections: nothing is
	// lost by trying it soon. 0 means 1 s.
	Refused time.Duration
}

// Zone prefers instances near the caller.
type Zone struct {
	Own string // the caller's zone; empty: no zone is preferred

	// Enough is the share of the own zone's listed instances that must be fit,
	// or calls go everywhere. 0 means 0.7.
	Enough float64

	// Spill is how many times slower than elsewhere the own zone may be before
	// calls go elsewhere. 0 means 2.
	Spill float64

	// Sample is the share of calls that goes elsewhere anyway, so that it is
	// known how fast that is. 0 means 0.01; below 0: none.
	Sample float64
}

// withDefaults fills in what zero values stand for.
func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	or(&c.ProbeTimeout, 10*time.Millisecond)
	or(&c.Memory, 10*time.Second)
	or(&c.SlowStart, 5*time.Second)
	or(&c.Keep, 5*time.Minute)
	or(&c.Panic, 0.5)
	or(&c.Eject.Row, 5)
	or(&c.Eject.Every, 5*time.Second)
	or(&c.Eject.Calls, 10)
	or(&c.Eject.Below, 0.15)
	or(&c.Eject.For, 5*time.Second)
	or(&c.Eject.AtMost, 2*time.Minute)
	or(&c.Eject.Back, 3)
	or(&c.Eject.Refused, time.Second)
	or(&c.Zone.Enough, 0.7)
	or(&c.Zone.Spill, 2)
	or(&c.Zone.Sample, 0.01)
	return c
}

func or[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}
