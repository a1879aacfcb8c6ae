package desk

import (
	"fmt"
	"io"
	"time"

	"example.com/app/sim/search"
)

// A line tells how far something is: one line that changes on a terminal, a line
// now and then elsewhere.
type line struct {
	w     io.Writer
	tty   bool
	begin time.Time
	last  time.Time
}

func newLine(w io.Writer) *line { return &line{w: w, tty: terminal(w), begin: time.Now()} }

// say says a text, unless it has just said one.
func (l *line) say(text string) {
	every := 5 * time.Second
	if l.tty {
		every = 50 * time.Millisecond
	}
	if time.Since(l.last) < every {
		return
	}
	l.last = time.Now()
	if l.tty {
		_, _ = fmt.Fprint(l.w, "\r\033[K"+text) // progress is for show: nothing depends on it
		return
	}
	_, _ = fmt.Fprintln(l.w, text)
}

func (l *line) end() {
	if l.tty {
		_, _ = fmt.Fprint(l.w, "\r\033[K")
	}
}

func (l *line) search(p search.Progress, whole int) {
	rate := float64(p.Done) / max(0.001, p.Elapsed.Seconds())
	left := time.Duration(float64(whole-p.Done)/rate) * time.Second
	text := fmt.Sprintf("%s %d of %d seeds, %.1f a second, %v left, %d broken", bar(time.Duration(p.Done), time.Duration(whole)), p.Done, whole, rate, left, p.Broken)
	l.say(text)
}

func (l *line) shrink(s search.Small) {
	l.say(fmt.Sprintf("shrinking: %d faults after %d runs, %v", len(s.Faults), s.Runs, s.Took.Round(time.Second)))
}

func (l *line) verify(done, whole int, hash string) {
	l.say(fmt.Sprintf("%s %d of %d runs, trace %.8s", bar(time.Duration(done), time.Duration(whole)), done, whole, hash))
}
