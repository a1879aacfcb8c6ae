package desk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"example.com/app/sim/fault"
	"example.com/app/sim/search"
	"example.com/app/sim/trace"
	"example.com/app/sim/twin"
)

// program is what runs single seeds of the scenario.
func (t *task) program(ctx context.Context) (search.Program, error) {
	p := search.Program{Args: append([]string{"sim", t.scenario.Name}, passed(t.cmd)...), Timeout: t.timeout}
	var err error
	if t.virtual {
		p.Path, err = os.Executable()
		p.Env = os.Environ()
		return p, err
	}
	p.Path, err = t.twin(ctx)
	p.Env = twin.Env()
	return p, err
}

func (t *task) processes() int {
	if t.jobs > 0 {
		return t.jobs
	}
	return runtime.NumCPU()
}

// seek searches seeds.
func (t *task) seek(ctx context.Context) error {
	p, err := t.program(ctx)
	if err != nil {
		return err
	}
	line := newLine(t.cmd.ErrOrStderr())
	plan := search.Plan{From: max(1, t.seed), Count: t.search, Jobs: t.processes(), Collect: t.collect, Paranoid: t.paranoid}
	found, progress, err := search.Search(ctx, p, plan, func(p search.Progress, _ search.Result) { line.search(p, t.search) })
	line.end()
	out := t.cmd.OutOrStdout()
	for _, r := range found {
		t.found(r)
	}
	_, _ = fmt.Fprintf(out, "searched %d seeds: %d broke an invariant; %d requests, %v of fleet time in %v",
		progress.Done, progress.Broken, progress.Requests, progress.Virtual.Round(time.Second), progress.Elapsed.Round(100*time.Millisecond))
	if progress.Compared > 0 {
		_, _ = fmt.Fprintf(out, "; %d seeds run twice gave the same traces", progress.Compared)
	}
	_, _ = fmt.Fprintln(out)
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("interrupted after %d of %d seeds", progress.Done, t.search)
	case err != nil:
		return err
	case len(found) == 0:
		return nil
	case t.shrink:
		return t.reduce(ctx, p, found[0])
	case t.keep != "" && found[0].Report != nil:
		if err := t.keepSchedule(t.file(found[0].Report)); err != nil {
			return err
		}
	}
	return broken(found[0])
}

// found tells of a failure.
func (t *task) found(r search.Result) {
	out := t.cmd.OutOrStdout()
	if r.Report != nil {
		t.banner(out, r.Report)
		return
	}
	_, _ = fmt.Fprintf(out, "FAIL  %s  seed %d  the process died:\n%s\n", t.scenario.Name, r.Seed, r.Died)
}

func broken(r search.Result) error {
	if r.Report == nil {
		return fmt.Errorf("seed %d: the process died", r.Seed)
	}
	return verdict(r.Report)
}

// small shrinks the failure of one seed, or of a schedule.
func (t *task) small(ctx context.Context) error {
	p, err := t.program(ctx)
	if err != nil {
		return err
	}
	r, err := p.Run(ctx, search.Job{Seed: t.seed, Runtime: t.runtime, Schedule: t.schedule})
	if err != nil {
		return err
	}
	if !r.Broken() {
		return fmt.Errorf("seed %d breaks no invariant: there is nothing to shrink", t.seed)
	}
	t.found(r)
	return t.reduce(ctx, p, r)
}

// reduce shrinks a failure, tells what is left, and keeps it.
func (t *task) reduce(ctx context.Context, p search.Program, r search.Result) error {
	line := newLine(t.cmd.ErrOrStderr())
	cfg := search.Shrinking{Jobs: t.processes(), Fleet: t.scenario.Fleet, Draw: func(seed uint64) []fault.Fault { return t.scenario.Draw(seed) }}
	least, err := search.Shrink(ctx, p, r, cfg, func(s search.Small) { line.shrink(s) })
	line.end()
	if err != nil {
		return err
	}
	least.Scenario = t.scenario.Name
	out := t.cmd.OutOrStdout()
	_, _ = fmt.Fprintf(out, "\nshrunk to %d faults in %d runs, %v: %s\n", len(least.Faults), least.Runs, least.Took.Round(100*time.Millisecond), least.Why)
	for _, f := range least.Faults {
		_, _ = fmt.Fprintf(out, "      fault:     %s\n", f)
	}
	if t.keep == "" {
		t.keep = fmt.Sprintf("%s-%d.json", t.scenario.Name, least.Seed)
	}
	if err := t.keepSchedule(least.Schedule); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "      replay:    app sim --schedule=%s\n      timeline:  app sim --schedule=%[1]s --trace=%s.html\n",
		t.keep, t.keep[:len(t.keep)-len(filepath.Ext(t.keep))])
	return broken(least.Result)
}

// compare runs a seed several times, each in another environment, and wants one
// trace.
func (t *task) compare(ctx context.Context) error {
	p, err := t.program(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sim-verify-")
	if err != nil {
		return fmt.Errorf("compare traces: %w", err)
	}
	defer os.RemoveAll(dir)
	line := newLine(t.cmd.ErrOrStderr())
	first := ""
	name := func(i int) string { return filepath.Join(dir, strconv.Itoa(i)+".txt") }
	for i := range t.verify {
		run := p.Padded(i * 997)
		run.Args = append(append([]string{}, p.Args...), "--trace="+name(i))
		r, err := run.Run(ctx, search.Job{Seed: t.seed, Runtime: t.runtime, Schedule: t.schedule})
		switch {
		case err != nil:
			return err
		case r.Report == nil:
			return broken(r)
		case i == 0:
			first = r.Report.Hash
		case r.Report.Hash != first:
			line.end()
			return differ(name(0), name(i), t.seed)
		}
		line.verify(i+1, t.verify, r.Report.Hash)
		if i > 0 {
			_ = os.Remove(name(i))
		}
	}
	line.end()
	_, err = fmt.Fprintf(t.cmd.OutOrStdout(), "%d runs of seed %d gave one trace: %s\n", t.verify, t.seed, first)
	return err
}

// differ names the first line in which two traces differ.
func differ(a, b string, seed uint64) error {
	left, err := os.Open(a)
	if err != nil {
		return fmt.Errorf("compare traces: %w", err)
	}
	defer left.Close()
	right, err := os.Open(b)
	if err != nil {
		return fmt.Errorf("compare traces: %w", err)
	}
	defer right.Close()
	n, one, other, err := trace.Diff(bufio.NewReader(left), bufio.NewReader(right))
	if err != nil {
		return fmt.Errorf("compare traces: %w", err)
	}
	return fmt.Errorf("two runs of seed %d differ first in line %d:\n  %s\n  %s", seed, n, one, other)
}
