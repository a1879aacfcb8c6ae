//go:build !unix

package twin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// Exec runs the program at path, with these arguments, and ends this one as
// that ends. It returns only where it cannot start.
func Exec(ctx context.Context, path string, args []string) error {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = Env(), os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if ended := (*exec.ExitError)(nil); err == nil || errors.As(err, &ended) {
		os.Exit(cmd.ProcessState.ExitCode())
	}
	return fmt.Errorf("start the exact twin: %w", err)
}
