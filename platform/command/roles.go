package command

import (
	"cmp"
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
	var rules bool
	cmd := &cobra.Command{
		Use:   "roles",
		Short: "List the roles: what they do, what they need",
		Long: `List the roles of the system: what each does, which roles it calls, and how many
instances of it run where the whole system runs in one process. With --rules:
the methods of each role, who may call them, and their HTTP routes.`,
		Example: "  app roles\n  app roles --rules\n  app roles -o json",
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
				if rules {
					return printRules(cmd.OutOrStdout(), infos)
				}
				return printRoles(cmd.OutOrStdout(), infos)
			default:
				return usage("-o %q: want table or json", format)
			}
		},
	}
	cmd.Flags().BoolVar(&rules, "rules", false, "list the methods and who may call them")
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

// printRules lists methods and who may call them. What asks for the same token
// stands for each method again: people look for one of them.
func printRules(w io.Writer, infos []app.RoleInfo) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ROLE\tMETHOD\tFOR\tCALLERS\tROUTES")
	for _, i := range infos {
		callers := cmp.Or(strings.Join(i.Callers, ", "), "-")
		for _, m := range i.Methods {
			_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", i.Name, m.Name, cmp.Or(m.Rule, "nobody: it has no rule"), callers, cmp.Or(strings.Join(m.Routes, ", "), "-"))
		}
	}
	return t.Flush() // where an earlier write failed, this fails too
}
