package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"example.com/app/platform/command"
	"example.com/app/sim"
	"example.com/app/sim/trace"
	"example.com/app/sim/twin"
)

// once runs the scenario in virtual time, in this process.
func (t *task) once() error {
	if twin.Exact {
		if err := twin.Check(); err != nil {
			return err
		}
		debug.SetGCPercent(-1) // it is off from the start; nothing may switch it on
	}
	signal.Reset(os.Interrupt, syscall.SIGTERM) // virtual time cannot hear of them: let them end the process
	begin := time.Now()
	defer watchdog(t.timeout)()
	var report *sim.Report
	var events []trace.Event
	var err error
	lines, end, err := t.lines()
	if err != nil {
		return err
	}
	options := t.options.sim(t)
	options.Lines = lines
	options.Started = func(w *sim.World) { t.world = w }
	seed := options.Runtime
	if seed == 0 {
		seed = options.Seed
	}
	sim.Virtual(seed, func(ctx context.Context) { // a context from outside the bubble must not be waited for in it
		report, err = t.scenario.Run(ctx, options)
	})
	if err = errors.Join(err, end()); err != nil {
		return err
	}
	if t.world != nil {
		events = t.world.Trace.Events()
	}
	if err := t.draw(report, events); err != nil {
		return err
	}
	if t.keep != "" && report.Broken() {
		if err := t.keepSchedule(t.file(report)); err != nil {
			return err
		}
	}
	if t.json {
		e := json.NewEncoder(t.cmd.OutOrStdout())
		if err := e.Encode(report); err != nil {
			return fmt.Errorf("print the report: %w", err)
		}
	} else {
		t.tell(report, events, time.Since(begin))
	}
	return verdict(report)
}

// verdict is how the process ends where an invariant did not hold, which has
// been told already.
func verdict(r *sim.Report) error {
	if r.Broken() {
		return &command.EndedError{Code: command.ExitError}
	}
	return nil
}

// sim is what the flags say of a run.
func (o *options) sim(t *task) sim.Options {
	out := sim.Options{Seed: o.seed, Runtime: o.runtime, Roles: t.sys.Roles, Version: t.sys.Version}
	if t.schedule != nil {
		out.Faults, out.Fleet = t.schedule.Faults, t.schedule.Fleet
	}
	return out
}

// watchdog ends a process that hangs, with its stacks, unless it is called off.
// Virtual time can't tell: it stands still.
func watchdog(limit time.Duration) (off func()) {
	dog := time.AfterFunc(limit, func() {
		fmt.Fprintf(os.Stderr, "app: it hangs: nothing has come of it in %v; these are its goroutines\n", limit)
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Signal(syscall.SIGQUIT)
		}
		if err != nil {
			panic(err)
		}
	})
	return func() { dog.Stop() }
}

// hand has the twin run the scenario, with the arguments of this process.
func (t *task) hand(ctx context.Context) error {
	path, err := t.twin(ctx)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, os.Args[1:]...) //nolint:gosec // Build made it
	cmd.Env, cmd.Stdout, cmd.Stderr = twin.Env(), t.cmd.OutOrStdout(), t.cmd.ErrOrStderr()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	defer twin.Tie(cmd)()
	if err := cmd.Start(); err != nil {
		return spoilt(path, err)
	}
	// The twin has no system monitor: one that spins can be stopped from
	// outside alone.
	dog := time.AfterFunc(t.timeout+5*time.Second, func() { _ = cmd.Process.Signal(syscall.SIGQUIT) })
	defer dog.Stop()
	err = cmd.Wait()
	var ended *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted: nothing is kept of a run that did not end")
	case errors.As(err, &ended) && ended.Exited():
		return &command.EndedError{Code: ended.ExitCode()}
	case err != nil: // as by a signal: it has said nothing
		return spoilt(path, err)
	}
	return nil
}

// spoilt is a twin that does not run, which a disk that was full may be the
// reason of.
func spoilt(path string, err error) error {
	return &command.HintError{Err: fmt.Errorf("run the exact twin: %w", err), Hint: "should its file be spoilt, remove it: " + path}
}

// twin is the path of the exact twin, built if need be.
func (t *task) twin(ctx context.Context) (string, error) {
	path, err := twin.Build(ctx, twin.Config{Say: t.cmd.ErrOrStderr()})
	if err != nil {
		return "", &command.HintError{Err: err, Hint: "--virtual runs the same scenario without it: as fast, and alike, but not the same each time"}
	}
	return path, nil
}

// none is where nothing is written.
func none() error { return nil }

// lines is where the trace is written line by line as it grows, if it shall be.
func (t *task) lines() (io.Writer, func() error, error) {
	for _, name := range t.traces {
		if kind, _ := rendering(name); kind == lines {
			f, err := os.Create(name)
			if err != nil {
				return nil, nil, fmt.Errorf("--trace: %w", err)
			}
			return f, f.Close, nil
		}
	}
	return nil, none, nil
}
