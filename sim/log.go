package sim

import (
	"log/slog"
	"strings"

	"example.com/app/sim/trace"
)

// log is where the nodes of a world log to: what is a warning, or worse, is part
// of the story.
func (w *World) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(logbook{w}, &slog.HandlerOptions{
		Level: slog.LevelWarn,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "stack" && len(a.Value.String()) > 2000 {
				return slog.Attr{}
			}
			return a
		},
	}))
}

// A logbook puts each line that is logged on the trace.
type logbook struct{ w *World }

func (b logbook) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	b.w.Trace.Add(trace.Event{Kind: trace.Log, Name: text})
	if strings.Contains(text, `msg="a handler panicked"`) {
		b.w.violate("no handler panics", "", text)
	}
	return len(line), nil
}
