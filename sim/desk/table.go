package desk

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/app/sim/fleet"
	"example.com/app/sim/load"
)

// table tells what happened.
func (s *simulation) table(w io.Writer) {
	rows := [][]string{{"role", "instance", "calls", "errors", "p50", "p99", "longest", "note"}}
	for i := len(s.hosts) - 1; i >= 0; i-- {
		for _, host := range s.hosts[i] {
			role, _, _ := fleet.Parse(host)
			note := ""
			if host == s.crash {
				note = s.note
			}
			rows = append(rows, cells(role, host, s.tallies[host], note))
		}
	}
	rows = append(rows, cells("users", "", &s.users, ""))
	// That stdout is closed is no error of the run.
	_, _ = fmt.Fprintf(w, "%s\n%d instances up in %v; %d calls, %d lost\n",
		align(rows, "llrrrrrl"), len(s.tallies), round(s.up), s.users.Calls(), s.users.Failed())
}

func cells(role, host string, t *load.Tally, note string) []string {
	return []string{
		role, host, fmt.Sprint(t.Calls()), fmt.Sprint(t.Failed()),
		round(t.Quantile(0.5)).String(), round(t.Quantile(0.99)).String(), round(t.Longest()).String(), note,
	}
}

// align lays rows out in columns two spaces apart. Sides has a letter for each
// column: l for text, r for numbers. No line ends in spaces.
func align(rows [][]string, sides string) string {
	widths := make([]int, len(sides))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if sides[i] == 'r' {
				line += pad + cell + "  "
			} else {
				line += cell + pad + "  "
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// round keeps three digits of a duration.
func round(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}
