//go:build !simexact

package twin

// Exact says whether this program is the twin.
const Exact = false

// Arm does nothing: this program is not the twin.
func Arm(uint64, Order) {}

// Collect does nothing: this program collects its garbage when it likes.
func Collect() {}
