package command

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"example.com/app/platform/app"
)

// Roles is `app roles`.
func Roles(all []app.Role, version string) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "roles",
		Short:   "List the roles: what they do, what they need",
		Long:    "List the roles of the system: what each does, which roles it calls, and how many\ninstances of it run where the whole system runs in one process.",
		Example: "  app roles\n  app roles -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			infos, err := app.Describe(all, version)
			if err != nil {
				return err
			}
			switch format {
			case "json":
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(infos)
			case "table":
				return printRoles(cmd.OutOrStdout(), infos)
			default:
				return usage("-o %q: want table or json", format)
			}
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "table", "output format: table, json")
	complete(cmd, "output", func() []string { return []string{"table", "json"} })
	return cmd
}

func printRoles(w io.Writer, infos []app.RoleInfo) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ROLE\tREPLICAS\tIN ALL\tNEEDS\tDOES")
	for _, i := range infos {
		in := "yes"
		if !i.InAll {
			in = "no"
		}
		needs := strings.Join(i.Needs, ", ")
		if needs == "" {
			needs = "-"
		}
		_, _ = fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\n", i.Name, i.Replicas, in, needs, i.Does)
	}
	return t.Flush() // where an earlier write failed, this fails too
}
