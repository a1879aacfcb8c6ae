package trace

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// moments is how long before its end a story begins, at most.
const moments = 10 * time.Second

// few is how many failures of other requests a story tells of.
const few = 4

// most is how many lines a story has, at most.
const most = 40

// Last is the part of a run that a person wants to see first: what happened in
// the last moments before the first violation, or the end, to the hosts and the
// request that it is about.
func Last(events []Event) []Event {
	if len(events) == 0 {
		return nil
	}
	end := slices.IndexFunc(events, func(e Event) bool { return e.Kind == Violation })
	if end < 0 {
		end = len(events) - 1
	}
	last := events[end]
	id, others := last.ID, 0
	var all []Event
	for _, e := range slices.Backward(events[:end+1]) {
		if last.At-e.At > moments && (id == "" || e.ID != id) && e.Kind != Fault {
			continue
		}
		switch e.Kind {
		case Fault, Heal, State, Violation:
		case Request, Call:
			bad := e.Detail != "OK"
			if e.ID != id || id == "" { // what befell others tells little more each time
				if !bad || others >= few {
					continue
				}
				others++
			}
		case Fact:
			if id != "" && e.ID != id && !strings.Contains(e.Detail, id) {
				continue
			}
		default:
			continue
		}
		if all = append(all, e); len(all) == most {
			break
		}
	}
	slices.Reverse(all)
	return all
}

// WriteStory writes the last moments as text.
func WriteStory(w io.Writer, events []Event, _ Meta) error {
	type row struct{ at, host, text string }
	var rows []row
	width := 0
	for _, e := range Last(events) {
		text := e.Name
		switch e.Kind {
		case Fault:
			_, text, _ = strings.Cut(e.Name, " ")
			text = "✗ " + text
		case Heal:
			_, text, _ = strings.Cut(e.Name, " ")
			text = "✓ healed: " + text
		case Violation:
			text = "‼ " + e.Name + ": " + e.Detail
		case State:
			text = "is " + e.Name
			if e.Host == "" {
				text = e.Name
			}
		case Request, Call:
			text += ": " + strings.TrimPrefix(e.Detail, e.Name+": ") + " (" + short(e.Took) + ")"
			if e.Peer != "" {
				text = "← " + e.Peer + " " + text
			}
		case Fact:
			text += " " + e.Detail
		default:
		}
		host := e.Host
		if e.Kind == Fault || e.Kind == Heal || e.Kind == Violation {
			host = ""
		}
		rows = append(rows, row{fmt.Sprintf("%9.3fs", e.At.Seconds()), host, cut(text)})
		width = max(width, utf8.RuneCountInString(host))
	}
	for _, r := range rows {
		if _, err := fmt.Fprintf(w, "  %s  %-*s  %s\n", r.at, width, r.host, r.text); err != nil {
			return fmt.Errorf("write the story: %w", err)
		}
	}
	return nil
}

// cut keeps a text on one line of a sane length.
func cut(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	const longest = 160
	if utf8.RuneCountInString(text) > longest {
		return string([]rune(text)[:longest]) + "…"
	}
	return text
}

// short is a duration with three digits.
func short(d time.Duration) string {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}

// WriteMermaid writes the last moments as a sequence diagram (mermaid.js.org).
func WriteMermaid(w io.Writer, events []Event, meta Meta) error {
	var b strings.Builder
	fmt.Fprintf(&b, "```mermaid\nsequenceDiagram\n    title %s, seed %d\n", label(meta.Scenario), meta.Seed)
	last := Last(events)
	var hosts []string
	for _, e := range last {
		for _, h := range []string{e.Peer, e.Host} {
			if h != "" && e.Kind != Fault && e.Kind != Heal && !slices.Contains(hosts, h) {
				hosts = append(hosts, h)
			}
		}
	}
	if len(hosts) == 0 {
		hosts = []string{"user"}
	}
	for i, h := range hosts {
		fmt.Fprintf(&b, "    participant h%d as %s\n", i, label(h))
	}
	at := func(host string) string { return fmt.Sprintf("h%d", max(0, slices.Index(hosts, host))) }
	over := "h0"
	if len(hosts) > 1 {
		over = fmt.Sprintf("h0,h%d", len(hosts)-1)
	}
	for _, e := range last {
		switch e.Kind {
		case Call:
			if e.Peer != "" && e.Peer != e.Host {
				arrow := "-->>"
				if e.Detail != "OK" {
					arrow = "--x"
				}
				fmt.Fprintf(&b, "    %s->>%s: %s\n    %s%s%s: %s\n", at(e.Peer), at(e.Host), label(e.Name), at(e.Host), arrow, at(e.Peer), label(e.Detail))
			}
		case Request, State, Fact:
			fmt.Fprintf(&b, "    Note over %s: %s %s\n", at(e.Host), label(e.Name), label(e.Detail))
		case Fault, Heal, Violation:
			fmt.Fprintf(&b, "    Note over %s: %s %s %s\n", over, e.Kind, label(e.Name), label(e.Detail))
		default:
		}
	}
	b.WriteString("```\n")
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the diagram: %w", err)
	}
	return nil
}

// label is a text that means nothing to Mermaid.
func label(text string) string {
	text = cut(text)
	return strings.NewReplacer(";", ",", "#", "＃", "<", "‹", ">", "›", "\"", "'", "`", "'", "%%", "%").Replace(text)
}
