package quality

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Table writes results as tables: entrants are rows; scenarios and numbers of
// instances, or loads, are columns. At last it says what the scenarios are.
func Table(w io.Writer, results []Result) error {
	var out strings.Builder
	for _, t := range tables() {
		t.write(&out, results)
	}
	out.WriteByte('\n')
	for _, s := range Scenarios() {
		if slices.ContainsFunc(results, func(r Result) bool { return r.Scenario == s.Name }) {
			fmt.Fprintf(&out, "%s: %s\n", s.Name, s.Doc)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// A table shows one figure of those results that have it.
type table struct {
	title  string
	of     func(Result) bool
	figure func(Result) string
}

func tables() []table {
	kind := make(map[string]Scenario)
	for _, s := range Scenarios() {
		kind[s.Name] = s
	}
	share := func(r Result) string { return fmt.Sprintf("%.2f", r.Share()) }
	lost := func(r Result) string { return fmt.Sprint(r.Lost) }
	shares := func(r Result) bool { return kind[r.Scenario].Shares }
	losses := func(r Result) bool { return kind[r.Scenario].Losses }
	tails := func(r Result) bool { return r.Offered == 0 && !shares(r) && !losses(r) }
	named := func(names ...string) func(Result) bool {
		return func(r Result) bool { return slices.Contains(names, r.Scenario) }
	}
	steps := func(r Result) bool { return r.Offered > 0 }
	all := []table{
		{"calls that reached the bad instance, %", shares, share},
		{"calls lost, of 2000", losses, lost},
		{"p99 ms, zone", named("zone hangs", "zone refuses"), ms(func(r Result) time.Duration { return r.P99 })},
		{"p50 ms", tails, ms(func(r Result) time.Duration { return r.P50 })},
		{"p99 ms", tails, ms(func(r Result) time.Duration { return r.P99 })},
		{"calls that reached the slow half (25 % of the capacity), or the new instance in its first second, %", named("mixed", "new instance"), share},
		{"most calls in flight at one instance", named("flash crowd"), func(r Result) string { return fmt.Sprint(r.Highest) }},
		{"ramp: calls lost, %", steps, func(r Result) string { return fmt.Sprintf("%.2f", 100*float64(r.Lost)/float64(max(r.Calls, 1))) }},
	}
	for _, p := range []struct {
		name string
		of   func(Result) time.Duration
	}{
		{"p50", func(r Result) time.Duration { return r.P50 }},
		{"p90", func(r Result) time.Duration { return r.P90 }},
		{"p99", func(r Result) time.Duration { return r.P99 }},
		{"p99.9", func(r Result) time.Duration { return r.P999 }},
	} {
		all = append(all, table{"ramp: " + p.name + " ms", steps, ms(p.of)})
	}
	return all
}

func ms(of func(Result) time.Duration) func(Result) string {
	return func(r Result) string { return fmt.Sprint(of(r).Round(time.Millisecond).Milliseconds()) }
}

// A column is what its results have in common.
type column struct{ top, sub string }

func columnOf(r Result) column {
	if r.Offered > 0 {
		return column{"load", fmt.Sprintf("%.2f", r.Offered)}
	}
	return column{r.Scenario, fmt.Sprintf("n=%d", r.Instances)}
}

// write shows rows and columns in the order in which they first come.
func (t table) write(w io.Writer, results []Result) {
	var rows []string
	var columns []column
	cells := make(map[string]map[column]string)
	for _, r := range results {
		if !t.of(r) {
			continue
		}
		c := columnOf(r)
		if !slices.Contains(columns, c) {
			columns = append(columns, c)
		}
		if cells[r.Entrant] == nil {
			rows = append(rows, r.Entrant)
			cells[r.Entrant] = make(map[column]string)
		}
		cells[r.Entrant][c] = t.figure(r)
	}
	if len(rows) == 0 {
		return
	}
	tops, subs := make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		subs[i] = c.sub
		if i == 0 || columns[i-1].top != c.top {
			tops[i] = c.top
		}
	}
	fmt.Fprintf(w, "\n%s\n", t.title)
	line(w, "", tops, false)
	line(w, "", subs, true)
	for _, row := range rows {
		var figures []string
		for _, c := range columns {
			figures = append(figures, cells[row][c])
		}
		line(w, row, figures, true)
	}
}

// line writes a row. Names of scenarios stand at the left of their columns, and
// may be wider than the first of them.
func line(w io.Writer, name string, cells []string, right bool) {
	fmt.Fprintf(w, "%-30s", name)
	if right {
		for _, c := range cells {
			fmt.Fprintf(w, "%8s", c)
		}
		fmt.Fprintln(w)
		return
	}
	room := 0
	for _, c := range cells {
		if c != "" {
			fmt.Fprintf(w, "%*s%s", room, "", "    "+c)
			room = -4 - len(c)
		}
		room += 8
	}
	fmt.Fprintln(w)
}
