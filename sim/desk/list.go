package desk

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"example.com/app/platform/command"
	"example.com/app/sim"
)

// list is `app sim list`.
func list(sys System) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the scenarios", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var rows [][]string
			for _, s := range sys.Scenarios {
				rows = append(rows, []string{s.Name, s.Doc})
			}
			_, err := fmt.Fprint(cmd.OutOrStdout(), align(rows, "ll"))
			return err
		},
	}
}

// describe is `app sim describe`.
func describe(sys System) *cobra.Command {
	seed := uint64(1)
	cmd := &cobra.Command{
		Use: "describe SCENARIO", Short: "Show a scenario: its fleet, and what goes wrong with a seed",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &command.UsageError{Err: fmt.Errorf("name one scenario; `app sim list` shows them all")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := named(sys.Scenarios, args[0])
			if err == nil {
				s, err = s.WithDefaults(sys.Roles)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text(s, seed))
			return err
		},
	}
	cmd.Flags().Uint64Var(&seed, "seed", 1, "whose faults are shown")
	return cmd
}

// text is a scenario to read.
func text(s sim.Scenario, seed uint64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\nfleet:\n", s.Name, s.Doc)
	for _, role := range slices.Sorted(maps.Keys(s.Fleet)) {
		if s.Fleet[role] > 0 {
			fmt.Fprintf(&b, "  %d × %s\n", s.Fleet[role], role)
		}
	}
	fmt.Fprintf(&b, "\nusers, who wait %v at most:\n", s.Patience)
	for _, c := range s.Calls {
		fmt.Fprintf(&b, "  %s\n", c.Name)
	}
	fmt.Fprintf(&b, "\nfaults for %v, with seed %d:\n", s.Duration, seed)
	faults := s.Draw(seed)
	for _, f := range faults {
		fmt.Fprintf(&b, "  %s\n", f)
	}
	if len(faults) == 0 {
		b.WriteString("  none\n")
	}
	fmt.Fprintf(&b, "\nthen all is healed, and %v later no request may fail; it ends %v after that\n", s.Recovery, max(0, s.Heal-s.Recovery))
	return b.String()
}
