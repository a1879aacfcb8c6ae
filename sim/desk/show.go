package desk

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// show tells how it goes while it goes: a table that changes, or a line a
// second.
func (t *task) show(ctx context.Context, w io.Writer) {
	table := t.tui == "on" || t.tui == "auto" && terminal(w)
	every := time.Second
	if table {
		every = 250 * time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	drawn, before := 0, t.calls()
	for {
		select {
		case <-ctx.Done():
			erase(w, drawn)
			return
		case <-tick.C:
		}
		if !table {
			_, _ = fmt.Fprintln(w, t.now()) // progress is for show: nothing depends on it
			continue
		}
		after := t.calls()
		text := t.frame(before, after, every)
		erase(w, drawn)
		_, _ = fmt.Fprint(w, text)
		drawn, before = strings.Count(text, "\n"), after
	}
}

// erase takes back so many lines.
func erase(w io.Writer, lines int) {
	if lines > 0 {
		_, _ = fmt.Fprintf(w, "\033[%dA\033[J", lines)
	}
}

// whole is how long the run takes.
func (t *task) whole() time.Duration { return t.scenario.Duration + t.scenario.Heal }

// now is the run in a line.
func (t *task) now() string {
	text := fmt.Sprintf("%5.1fs of %v  %d calls, %d lost, p99 %v", t.world.Time().Seconds(), t.whole(),
		t.world.Users.Calls(), t.world.Users.Failed(), round(t.world.Users.Quantile(0.99)))
	for _, f := range t.world.Active() {
		f.At, f.For = 0, 0
		text += "  " + strings.TrimPrefix(f.String(), "0s ")
	}
	return text
}

// calls is how many calls each host has answered, by host.
func (t *task) calls() map[string]int {
	all := map[string]int{}
	for _, h := range t.world.Hosts() {
		all[h] = t.world.Tally(h).Calls()
	}
	return all
}

// frame is one picture of the table.
func (t *task) frame(before, after map[string]int, within time.Duration) string {
	rows := [][]string{{"instance", "state", "calls/s", "in flight", "errors", "p99"}}
	up := t.world.Fleet.Up()
	for _, h := range slices.Backward(t.world.Hosts()) {
		state := "down"
		switch {
		case t.world.Fleet.Started(h):
			state = "up"
		case slices.Contains(up, h):
			state = "starts"
		}
		tally := t.world.Tally(h)
		rows = append(rows, []string{
			h, state, fmt.Sprintf("%.0f", float64(after[h]-before[h])/within.Seconds()), fmt.Sprint(t.world.Fleet.InFlight(h)),
			fmt.Sprint(tally.Failed()), round(tally.Quantile(0.99)).String(),
		})
	}
	return align(rows, "llrrrr") + t.now() + "  " + bar(t.world.Time(), t.whole()) + "\n"
}

func bar(done, whole time.Duration) string {
	const width = 30
	n := min(width, int(width*done/max(1, whole)))
	return "[" + strings.Repeat("=", n) + strings.Repeat(" ", width-n) + "]"
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
