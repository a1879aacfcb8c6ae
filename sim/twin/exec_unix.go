//go:build unix

package twin

import (
	"context"
	"fmt"
	"syscall"
)

// Exec goes on as the program at path, with these arguments. It returns only
// where that fails.
func Exec(_ context.Context, path string, args []string) error {
	if err := syscall.Exec(path, append([]string{path}, args...), Env()); err != nil { //nolint:gosec // Build made it
		return fmt.Errorf("start the exact twin: %w", err)
	}
	return nil
}
