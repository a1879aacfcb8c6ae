package desk

import (
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"time"

	"example.com/app/sim"
	"example.com/app/sim/trace"
)

// tell says what came of a run in virtual time.
func (t *task) tell(r *sim.Report, events []trace.Event, took time.Duration) {
	w := t.cmd.OutOrStdout()
	if !r.Broken() {
		_, _ = fmt.Fprintf(w, "ok    %s  seed %d  %s  trace %.8s%s\n      %s; %v of fleet time in %v\n",
			r.Scenario, r.Seed, engine(r), r.Hash, also(r), counts(r), r.Virtual.Round(time.Second), took.Round(time.Millisecond))
		return
	}
	t.banner(w, r)
	if len(events) > 0 {
		_, _ = fmt.Fprintln(w)
		_ = trace.WriteStory(w, events, t.meta(r)) // the reader of a closed stdout wants no more
	}
}

// banner says what broke, and how to see it again.
func (t *task) banner(w io.Writer, r *sim.Report) {
	v := r.Violations[0]
	_, _ = fmt.Fprintf(w, "FAIL  %s  seed %d%s  t=%v  %s: %s\n      %s; %s, trace %.8s\n",
		r.Scenario, r.Seed, also(r), (v.At + r.Up).Round(time.Millisecond), v.Invariant, v.Text, counts(r), engine(r), r.Hash)
	again := t.again(r)
	_, _ = fmt.Fprintf(w, "      replay:    %s\n", again)
	if !r.Exact {
		_, _ = fmt.Fprintf(w, "                 (in virtual time alone it may take several tries)\n")
	}
	if t.schedule == nil {
		_, _ = fmt.Fprintf(w, "      shrink:    %s --shrink --keep=%s-%d.json\n", again, r.Scenario, r.Seed)
	}
	_, _ = fmt.Fprintf(w, "      timeline:  %s --trace=%s-%d.html\n      (%s, %s, %s/%s)\n",
		again, r.Scenario, r.Seed, t.sys.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, f := range r.Faults {
		if f.At > v.At || len(r.Faults) > 6 {
			break
		}
		_, _ = fmt.Fprintf(w, "      fault:     %s\n", f)
	}
}

// again is the command that runs the same once more.
func (t *task) again(r *sim.Report) string {
	words := []string{"app sim"}
	switch {
	case t.schedule != nil:
		words = append(words, "--schedule="+t.options.schedule)
	default:
		words = append(words, r.Scenario, "--seed="+strconv.FormatUint(r.Seed, 10))
	}
	if r.Runtime != 0 && t.schedule == nil {
		words = append(words, "--runtime-seed="+strconv.FormatUint(r.Runtime, 10))
	}
	for _, flag := range passed(t.cmd) {
		if flag != "--virtual=true" && !strings.HasPrefix(flag, "--timeout") {
			words = append(words, flag)
		}
	}
	return strings.Join(words, " ")
}

func also(r *sim.Report) string {
	if r.Runtime == 0 {
		return ""
	}
	return fmt.Sprintf("  runtime seed %d", r.Runtime)
}

func engine(r *sim.Report) string {
	if r.Exact {
		return "exact"
	}
	return "virtual"
}

func counts(r *sim.Report) string {
	return fmt.Sprintf("%d requests, %d failed, %d faults", r.Requests, r.Failed, len(r.Faults))
}
