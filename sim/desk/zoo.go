package desk

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"example.com/app/sim/fault"
	"example.com/app/sim/search"
	"example.com/app/sim/twin"
	"example.com/app/sim/zoo"
)

// zooCommand is `app sim zoo`.
func zooCommand(sys System) *cobra.Command {
	seeds, only := 200, ""
	cmd := &cobra.Command{
		Use:   "zoo",
		Short: "Find the bugs of the zoo, and shrink what finds them",
		Long: `Search each bug that the simulator keeps to prove itself, shrink the faults that
brought it to light, and print a table in Markdown: the one of the README.

Each is a scenario of its own, too: app sim zoo-lost-update --search=100`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t := &task{options: &options{}, cmd: cmd, sys: sys}
			path, err := t.twin(cmd.Context())
			if err != nil {
				return err
			}
			line := newLine(cmd.ErrOrStderr())
			rows := [][]string{{"bug", "what it breaks", "seeds to find", "requests", "faults, shrunk", "time"}}
			for _, b := range zoo.Bugs() {
				if only != "" && b.Name != only {
					continue
				}
				row, err := t.hunt(b, search.Program{Path: path, Args: []string{"sim", "zoo-" + b.Name}, Env: twin.Env()}, seeds, line)
				if err != nil {
					line.end()
					return err
				}
				rows = append(rows, row)
			}
			line.end()
			_, err = fmt.Fprint(cmd.OutOrStdout(), markdown(rows))
			return err
		},
	}
	cmd.Flags().IntVar(&seeds, "seeds", seeds, "how many seeds are tried for each bug")
	cmd.Flags().StringVar(&only, "bug", "", "only this one")
	return cmd
}

// hunt finds and shrinks one bug, and returns its row of the table.
func (t *task) hunt(b zoo.Bug, p search.Program, seeds int, line *line) ([]string, error) {
	ctx, begin := t.cmd.Context(), time.Now()
	found, progress, err := search.Search(ctx, p, search.Plan{From: 1, Count: seeds, Jobs: t.processes()}, func(p search.Progress, _ search.Result) {
		line.say(fmt.Sprintf("%s: %d seeds", b.Name, p.Done))
	})
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, fmt.Errorf("zoo-%s: not found in %d seeds", b.Name, seeds)
	case found[0].Invariant() != b.Invariant:
		return nil, fmt.Errorf("zoo-%s, seed %d: it breaks %q, not %q", b.Name, found[0].Seed, found[0].Invariant(), b.Invariant)
	}
	s, err := b.Scenario(true).WithDefaults(nil)
	if err != nil {
		return nil, err
	}
	cfg := search.Shrinking{Jobs: t.processes(), Draw: func(seed uint64) []fault.Fault { return s.Draw(seed) }}
	least, err := search.Shrink(ctx, p, found[0], cfg, func(s search.Small) {
		line.say(fmt.Sprintf("%s: shrunk to %d faults", b.Name, len(s.Faults)))
	})
	if err != nil {
		return nil, err
	}
	return []string{
		"`zoo-" + b.Name + "`: " + b.Doc, b.Invariant, fmt.Sprint(found[0].Seed), fmt.Sprint(progress.Requests),
		fmt.Sprintf("%d of %d", len(least.Faults), len(s.Draw(found[0].Seed))), time.Since(begin).Round(100 * time.Millisecond).String(),
	}, nil
}

// markdown is a table.
func markdown(rows [][]string) string {
	var b strings.Builder
	for i, row := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			b.WriteString(strings.Repeat("|--", len(row)) + "|\n")
		}
	}
	return b.String()
}

// withZoo is a system with the scenarios of the zoo, their bugs planted.
func (sys System) withZoo() System {
	all := slices.Clone(sys.Scenarios)
	for _, b := range zoo.Bugs() {
		all = append(all, b.Scenario(true))
	}
	sys.Scenarios = all
	return sys
}
