package sim

import (
	"context"
	"testing"
	"testing/synctest"

	"example.com/app/sim/twin"
)

// Virtual runs f in virtual time. In the exact twin all that happens in it is a
// function of seed; elsewhere seed is ignored. Goroutines that f leaves behind,
// and a standstill from which no time can wake anybody, end the process with
// their stacks.
//
// A zero testing.T is enough for synctest.Test outside go test, as long as f
// uses its context alone. TestVirtualTimeOutsideTests would notice if that
// changed.
func Virtual(seed uint64, f func(ctx context.Context)) {
	twin.Arm(seed, twin.Shuffled)
	synctest.Test(new(testing.T), func(t *testing.T) { f(t.Context()) })
}
