package desk

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/trace"
)

// A picture is a way to see a trace.
type picture int

const (
	lines picture = iota
	timeline
	chrome
	mermaid
)

// rendering is the picture that a file is named after.
func rendering(name string) (picture, error) {
	switch filepath.Ext(name) {
	case ".txt", ".log":
		return lines, nil
	case ".html":
		return timeline, nil
	case ".json":
		return chrome, nil
	case ".md", ".mmd":
		return mermaid, nil
	}
	return 0, fmt.Errorf("--trace: name the file .html, .json, .md or .txt, not %q", filepath.Base(name))
}

// draw writes the pictures that were asked for.
func (t *task) draw(r *sim.Report, events []trace.Event) error {
	meta := t.meta(r)
	for _, name := range t.traces {
		kind, err := rendering(name)
		if err != nil {
			return err
		}
		write := map[picture]func(io.Writer, []trace.Event, trace.Meta) error{
			timeline: trace.WriteTimeline, chrome: trace.WriteChrome, mermaid: trace.WriteMermaid,
		}[kind]
		if write == nil {
			continue // it was written as it grew
		}
		f, err := os.Create(name)
		if err != nil {
			return fmt.Errorf("--trace: %w", err)
		}
		err = write(f, events, meta)
		if closing := f.Close(); err == nil {
			err = closing
		}
		if err != nil {
			return fmt.Errorf("--trace: %s: %w", name, err)
		}
	}
	return nil
}

func (t *task) meta(r *sim.Report) trace.Meta {
	return trace.Meta{Scenario: r.Scenario, Seed: r.Seed, Hash: r.Hash, Version: t.sys.Version}
}

// file is the schedule of a report.
func (t *task) file(r *sim.Report) fault.Schedule {
	s := fault.Schedule{Scenario: r.Scenario, Seed: r.Seed, Runtime: r.Runtime, Faults: r.Faults}
	if t.schedule != nil {
		s.Fleet = t.schedule.Fleet
	}
	if r.Broken() {
		s.Why = r.Violations[0].String()
	}
	return s
}

// keepSchedule writes a schedule to the file that --keep names.
func (t *task) keepSchedule(s fault.Schedule) error {
	f, err := os.Create(t.keep)
	if err != nil {
		return fmt.Errorf("--keep: %w", err)
	}
	err = s.Write(f)
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("--keep: %w", err)
	}
	return nil
}
