package desk

import (
	"fmt"
	"io"
	"maps"
	"os"
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
	seeds, only, kept := 200, "", ""
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
			if _, err = fmt.Fprint(cmd.OutOrStdout(), markdown(rows)); err != nil || kept == "" {
				return err
			}
			text, err := os.ReadFile(kept)
			if err != nil {
				return fmt.Errorf("compare the table with the one kept: %w", err)
			}
			return compare(rows[1:], string(text), kept, cmd.ErrOrStderr())
		},
	}
	cmd.Flags().IntVar(&seeds, "seeds", seeds, "how many seeds are tried for each bug")
	cmd.Flags().StringVar(&only, "bug", "", "only this one")
	cmd.Flags().StringVar(&kept, "check", "", "compare with the table that this file holds: the bugs and what they break must be the same; of other numbers it tells")
	return cmd
}

// hunt finds and shrinks one bug, and returns its row of the table.
func (t *task) hunt(b zoo.Bug, p search.Program, seeds int, line *line) ([]string, error) {
	ctx, begin := t.cmd.Context(), time.Now()
	asked := map[uint64]int{}
	found, _, err := search.Search(ctx, p, search.Plan{From: 1, Count: seeds, Jobs: t.processes()}, func(p search.Progress, r search.Result) {
		line.say(fmt.Sprintf("%s: %d seeds", b.Name, p.Done))
		if r.Report != nil {
			asked[r.Seed] = r.Report.Requests
		}
	})
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, fmt.Errorf("zoo-%s: not found in %d seeds", b.Name, seeds)
	case found[0].Invariant() != b.Invariant:
		return nil, fmt.Errorf("zoo-%s, seed %d: it breaks %q, not %q", b.Name, found[0].Seed, found[0].Invariant(), b.Invariant)
	}
	requests := 0
	for seed, n := range asked {
		if seed <= found[0].Seed { // another process may have been a seed ahead
			requests += n
		}
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
		"`zoo-" + b.Name + "`: " + b.Doc, b.Invariant, fmt.Sprint(found[0].Seed), fmt.Sprint(requests),
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

// compare wants the bugs of rows, and no others, in the table that text holds. Its
// numbers may be old: each change of the source may change some.
func compare(rows [][]string, text, name string, say io.Writer) error {
	kept := map[string]string{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "| `zoo-") {
			bug, _, _ := strings.Cut(line, "`:")
			kept[bug] = strings.Trim(line, "| \n")
		}
	}
	var wrong []string
	for _, row := range rows {
		line := strings.Join(row, " | ")
		bug, _, _ := strings.Cut("| "+line, "`:")
		old := strings.Split(kept[bug], " | ")
		delete(kept, bug)
		if len(old) != len(row) || !slices.Equal(old[:2], row[:2]) {
			wrong = append(wrong, "it lacks: | "+line+" |")
			continue
		}
		if !slices.Equal(old[2:5], row[2:5]) {
			fmt.Fprintf(say, "%s has other numbers: %s; now %s\n", name, strings.Join(old, " | "), strings.Join(row[2:], " | "))
		}
	}
	for _, bug := range slices.Sorted(maps.Keys(kept)) {
		wrong = append(wrong, "there is no such bug: | "+kept[bug]+" |")
	}
	if wrong != nil {
		return fmt.Errorf("%s has another table:\n%s", name, strings.Join(wrong, "\n"))
	}
	return nil
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
