package desk

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// show tells how it goes while it goes: a line that changes on a terminal, a
// line a second elsewhere.
func (t *task) show(ctx context.Context, w io.Writer) {
	every, end := time.Second, "\n"
	if terminal(w) {
		every, end = 100*time.Millisecond, "\r"
		defer fmt.Fprint(w, "\r\033[K")
	}
	start, tick := time.Now(), time.NewTicker(every)
	defer tick.Stop()
	said := ""
	whole := t.scenario.Duration + t.scenario.Heal
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		event := t.event()
		if event != "" && event != said && end == "\r" {
			_, _ = fmt.Fprintf(w, "\033[K%5.1fs  %s\n", time.Since(start).Seconds(), event)
		}
		said = event
		line := fmt.Sprintf("%5.1fs of %v  %d calls, %d lost, p99 %v", time.Since(start).Seconds(), whole,
			t.world.Users.Calls(), t.world.Users.Failed(), round(t.world.Users.Quantile(0.99)))
		if end == "\r" {
			line = "\033[K" + line + "  " + bar(time.Since(start), whole)
		} else if event != "" {
			line += "  " + event
		}
		_, _ = fmt.Fprint(w, line+end) // progress is for show: nothing depends on it
	}
}

// event is what is going wrong, or what did last.
func (t *task) event() string {
	active := t.world.Active()
	if len(active) == 0 {
		return ""
	}
	f := active[len(active)-1]
	f.At, f.For = 0, 0
	_, text, _ := strings.Cut(f.String(), " ")
	return text
}

func bar(done, whole time.Duration) string {
	const width = 30
	n := min(width, int(width*done/whole))
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
