package desk

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/app/sim"
)

// table tells what happened.
func (t *task) table(w io.Writer, r *sim.Report) {
	rows := [][]string{{"instance", "calls", "errors", "p50", "p99", "longest", "note"}}
	for _, row := range slices.Backward(r.Rows[:len(r.Rows)-1]) {
		rows = append(rows, cells(row))
	}
	users := r.Rows[len(r.Rows)-1]
	users.Host = "users"
	rows = append(rows, cells(users))
	// That stdout is closed is no error of the run.
	_, _ = fmt.Fprintf(w, "%s\n%d instances up in %v; %d calls, %d lost\n",
		align(rows, "lrrrrrl"), len(r.Rows)-1, round(r.Up), r.Requests, r.Failed)
}

func cells(r sim.Row) []string {
	return []string{
		r.Host, fmt.Sprint(r.Calls), fmt.Sprint(r.Failed),
		round(r.P50).String(), round(r.P99).String(), round(r.Longest).String(), r.Note,
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
