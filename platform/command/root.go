// Package command is the command line of the program: flags, their environment,
// help, hints and exit codes.
package command

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// Root is `app`: the others are added to it.
func Root(version string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "app",
		Short: "A whole microservice system in one program",
		Long: `A whole microservice system in one program: gRPC services, an HTTP/JSON gateway
in front, found through Consul or in memory, balanced and observed. The roles
that run here on your desk are the ones that run in a fleet.`,
		Example: `  app serve --role=all &
  curl localhost:8080/v1/greetings/Ada
  app sim`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := "`app --help` lists the commands"
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = "did you mean `app " + strings.Join(near, "` or `app ") + "`?"
			}
			return &UsageError{&HintError{fmt.Errorf("there is no command %q", args[0]), hint}}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &UsageError{&HintError{err, "`" + cmd.CommandPath() + " --help` lists the flags"}}
	})
	return cmd
}

// BuildVersion is the program's, as the build recorded it: a tag, a commit, or
// "devel".
func BuildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}

// Version is `app version`.
func Version(version string) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of the program",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "app %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
