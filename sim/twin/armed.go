//go:build simexact

package twin

import _ "unsafe" // for go:linkname

// Exact says whether this program is the twin.
const Exact = true

//go:linkname arm runtime.simArm
func arm(seed uint64, shuffle bool)

//go:linkname collect runtime.simCollect
func collect()

// Arm makes all that happens in bubbles made from now on a function of seed.
// With Shuffle goroutines run in an order drawn from it.
func Arm(seed uint64, order Order) { arm(seed, order == Shuffled) }

// Collect collects garbage, finalizers and cleanups with it. Call it where all
// goroutines of the bubble are blocked: the twin never collects by itself.
func Collect() { collect() }
