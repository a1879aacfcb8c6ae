package consultest

import "testing"

// Program returns the path of a consul to run: $CONSUL_BIN, the one on PATH,
// one that was built before, or one that is built now. Under -short the test
// is skipped.
func Program(t testing.TB) string {
	t.Helper()
	return program(t)
}
