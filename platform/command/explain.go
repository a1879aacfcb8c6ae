package command

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"example.com/app/platform/app"
)

// Explain is `app explain`: why a running process does what it does.
func Explain(all []app.Role) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Tell why a running process does what it does",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(explainPick(all))
	return cmd
}

// explainPick is `app explain pick`.
func explainPick(all []app.Role) *cobra.Command {
	var port adminPort
	var format string
	var patience time.Duration
	cmd := &cobra.Command{
		Use:   "pick ROLE",
		Short: "Tell how calls to a role are shared, and why the last one went where it did",
		Long: `Ask a running process how its instances share their calls to a role: what
they know of each instance (state, calls in flight, expected latency, success,
cost), and why the last call went where it did. The same is at /debug/balance of
its admin port, for all roles.`,
		Example: `  app explain pick greeter
  app explain pick greeter --admin=127.0.0.1:9093 -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("which role? want one, as in app explain pick greeter")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := FromEnv(cmd, os.LookupEnv); err != nil {
				return err
			}
			if format != "table" && format != "json" {
				return usage("--output %q: want table or json", format)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), patience)
			defer cancel()
			var picks []app.Picks
			page := url.URL{Path: "/debug/balance", RawQuery: url.Values{"role": {args[0]}, "format": {"json"}}.Encode()}
			if err := port.get(ctx, cmd.InOrStdin(), page, &picks); err != nil {
				return err
			}
			if len(picks) == 0 {
				return nobodyCalls(all, args[0], port.addr)
			}
			return printPicks(cmd.OutOrStdout(), format, picks)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return names(all), cobra.ShellCompDirectiveNoFileComp
		},
	}
	f := cmd.Flags()
	port.flags(f)
	f.StringVarP(&format, "output", "o", "table", "output format: table, json")
	f.DurationVar(&patience, "timeout", 10*time.Second, "how long to wait for an answer")
	complete(cmd, "output", func() []string { return []string{"table", "json"} })
	return cmd
}

// nobodyCalls is the error for a role that does not exist, or that others call.
func nobodyCalls(all []app.Role, role, admin string) error {
	err := fmt.Errorf("nobody in the process at %s calls %q", admin, role)
	roles := names(all)
	if near, ok := nearest(roles, role); ok && near != role {
		return &HintError{err, fmt.Sprintf("did you mean %s? `app roles` lists them all", near)}
	}
	return &HintError{err, "ask the process of a caller; `app roles` tells who calls whom"}
}

func printPicks(w io.Writer, format string, picks []app.Picks) error {
	if format == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(picks)
	}
	for i, p := range picks {
		if i > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		if err := p.Print(w); err != nil {
			return err
		}
	}
	return nil
}
