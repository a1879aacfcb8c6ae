package search

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/twin"
)

// A Program runs one seed at a time, each in a process of its own: what a
// process has done before changes what it does next, and a panic or a standstill
// ends it.
type Program struct {
	Path    string
	Args    []string // in front of those that name the seed
	Env     []string
	Timeout time.Duration // of a run, by the wall clock; 0 means 2 min
}

// Padded is the program in an environment that is n bytes larger. What a process
// was started with moves all that it allocates, and must not matter.
func (p Program) Padded(n int) Program {
	p.Env = append(slices.Clone(p.Env), "SIM_PADDING="+strings.Repeat("x", n))
	return p
}

// A Job is what a process is asked to run.
type Job struct {
	Seed     uint64
	Runtime  uint64          // 0: as Seed
	Schedule *fault.Schedule // nil: the scenario's own faults
}

// A Result is what came of a job.
type Result struct {
	Job
	Report *sim.Report // nil: the process died
	Died   string      // what it said when it did
	Took   time.Duration
}

// Broken says whether an invariant did not hold, that no process dies among
// them.
func (r Result) Broken() bool { return r.Report == nil || r.Report.Broken() }

// died is the invariant that a process which ends otherwise than it should has
// broken.
const died = "the process lives"

// Invariant names the first that did not hold; empty: all did.
func (r Result) Invariant() string {
	switch {
	case r.Report == nil:
		return died
	case r.Report.Broken():
		return r.Report.Violations[0].Invariant
	}
	return ""
}

// Run runs a job. An error means that it could not be tried, or that ctx ended.
func (p Program) Run(ctx context.Context, job Job) (Result, error) {
	limit := p.Timeout
	if limit <= 0 {
		limit = 2 * time.Minute
	}
	args := append(append([]string{}, p.Args...), "--json", "--seed="+strconv.FormatUint(job.Seed, 10))
	if job.Runtime != 0 {
		args = append(args, "--runtime-seed="+strconv.FormatUint(job.Runtime, 10))
	}
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var out, said bytes.Buffer
	cmd := exec.CommandContext(within, p.Path, args...) //nolint:gosec // it is this program, or its twin
	cmd.Env, cmd.Stdout, cmd.Stderr = p.Env, &out, &said
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) } // it prints its stacks
	cmd.WaitDelay = 10 * time.Second
	if job.Schedule != nil {
		name, err := keep(*job.Schedule)
		if err != nil {
			return Result{}, err
		}
		defer os.Remove(name)
		cmd.Args = append(cmd.Args, "--schedule="+name)
	}
	defer twin.Tie(cmd)()
	begin := time.Now()
	err := cmd.Run()
	r := Result{Job: job, Took: time.Since(begin)}
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		return r, fmt.Errorf("run seed %d: %w", job.Seed, err)
	}
	r.Report = new(sim.Report)
	if json.Unmarshal(out.Bytes(), r.Report) != nil {
		r.Report, r.Died = nil, last(said.String())
		if r.Died == "" && err != nil {
			r.Died = fmt.Sprintf("%s: %v", p.Path, err)
		}
		if within.Err() != nil {
			r.Died = fmt.Sprintf("it hung, and was asked for its stacks after %v:\n%s", limit, r.Died)
		}
	}
	code := cmd.ProcessState.ExitCode()
	if r.Report == nil && code == usage && !strings.Contains(r.Died, "goroutine ") { // a panic ends with the same code
		return r, fmt.Errorf("run seed %d: %s", job.Seed, r.Died)
	}
	return r, nil
}

// usage is the exit code of a program that does not understand its arguments.
const usage = 2

// keep writes a schedule to a file.
func keep(s fault.Schedule) (name string, err error) {
	f, err := os.CreateTemp("", "schedule-*.json")
	if err != nil {
		return "", fmt.Errorf("keep a schedule: %w", err)
	}
	return f.Name(), errors.Join(s.Write(f), f.Close())
}

// last is the end of what a process said, and its beginning, which names a
// panic.
func last(text string) string {
	const most = 12_000
	text = strings.TrimSpace(text)
	if len(text) > most {
		text = text[:most] + "\n…"
	}
	return text
}
