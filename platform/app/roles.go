package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// A RoleInfo is what `app roles` tells of a role.
type RoleInfo struct {
	Name     string   `json:"name"`
	Does     string   `json:"does"`
	Needs    []string `json:"needs"`    // the roles it dials
	Replicas int      `json:"replicas"` // where the whole system runs in one process
	InAll    bool     `json:"in_all"`   // part of --role=all
}

// Describe tells of each role. What it needs is not declared but seen: the
// role is built once, on ground of its own, and what it dials is noted.
func Describe(roles []Role, version string) ([]RoleInfo, error) {
	out := make([]RoleInfo, len(roles))
	for i, role := range roles {
		node, err := New(Config{Roles: roles, Run: map[string]int{role.Name: 1}, Version: version})
		if err != nil {
			return nil, err
		}
		in := node.instances[0]
		reg, net := node.cfg.Fabric.Host(in.host)
		env := node.newEnv(in, reg, net)
		if _, err := role.New(env); err != nil {
			return nil, fmt.Errorf("describe %s: %w", role.Name, errors.Join(err, env.clients.close()))
		}
		out[i] = RoleInfo{Name: role.Name, Does: role.Doc, Needs: env.clients.roles(), Replicas: max(1, role.Replicas), InAll: !role.Extra}
		if err := env.clients.close(); err != nil {
			return nil, fmt.Errorf("describe %s: %w", role.Name, err)
		}
	}
	return out, nil
}

// RolesCommand is `app roles`.
func RolesCommand(all []Role, version string) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "roles",
		Short:   "List the roles: what they do, what they need",
		Long:    "List the roles of the system: what each does, which roles it calls, and how many\ninstances of it run where the whole system runs in one process.",
		Example: "  app roles\n  app roles -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			infos, err := Describe(all, version)
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

func printRoles(w io.Writer, infos []RoleInfo) error {
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
