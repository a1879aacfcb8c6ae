package desk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"example.com/app/platform/command"
	"example.com/app/sim/twin"
)

// test is `app sim test`.
func test() *cobra.Command {
	return &cobra.Command{
		Use:   "test [PACKAGES AND FLAGS OF GO TEST]",
		Short: "Run go test with the exact twin's runtime, so that sim.Test replays seeds",
		Long: `Run go test with the runtime of the exact twin: what sim.Test runs is then a
function of its seed. Everything behind "test" goes to go test.`,
		Example:            `  app sim test ./sim/... -run Storm -args seeds=1-50`,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && (args[0] == "--help" || args[0] == "-h") {
				return cmd.Help()
			}
			dir, err := os.MkdirTemp("", "sim-overlay-")
			if err != nil {
				return fmt.Errorf("write the overlay: %w", err)
			}
			defer os.RemoveAll(dir)
			gocmd, flags, env, err := twin.Toolchain(cmd.Context(), twin.Config{}, dir)
			if err != nil {
				return &command.HintError{Err: err, Hint: "go test runs the same tests in virtual time: alike from run to run, and not the same"}
			}
			run := exec.CommandContext(cmd.Context(), gocmd, append(append([]string{"test"}, flags...), args...)...)
			run.Env = append(twin.Env(), env...)
			run.Stdout, run.Stderr = cmd.OutOrStdout(), cmd.ErrOrStderr()
			err = run.Run()
			var ended *exec.ExitError
			if errors.As(err, &ended) {
				return &command.EndedError{Code: ended.ExitCode()}
			}
			if err != nil {
				return fmt.Errorf("start %s: %w", filepath.Base(gocmd), err)
			}
			return nil
		},
	}
}
