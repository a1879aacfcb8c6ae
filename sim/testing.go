package sim

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"example.com/app/platform/app"
	"example.com/app/sim/fault"
	"example.com/app/sim/twin"
)

// TestOptions say how Test runs a scenario. The zero value is the default.
type TestOptions struct {
	Roles     []app.Role // of the program, where the scenario has none of its own
	Seeds     int        // how many, from 1; 0 means 3, or 1 with -short
	Schedules string     // folder of schedules; empty means testdata/schedules
}

// Test runs a scenario as subtests: first the schedules that are kept in a
// folder, then some seeds, in virtual time. A seed that breaks an invariant
// fails the test, and its schedule is written to the folder, as go test does
// with what a fuzzer finds.
//
// Seeds may be given: go test ./services -args seeds=1-50, or seeds=7. Under
// `app sim test` each seed runs in a process of its own with the exact twin's
// runtime: it fails again and again, or never.
func Test(t *testing.T, s Scenario, o TestOptions) {
	t.Helper()
	if o.Schedules == "" {
		o.Schedules = filepath.Join("testdata", "schedules")
	}
	for _, name := range kept(t, o.Schedules, s.Name) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			kept, err := fault.Read(f)
			if err != nil {
				t.Fatal(err)
			}
			s.try(t, Options{Seed: kept.Seed, Runtime: kept.Runtime, Faults: kept.Faults, Fleet: kept.Fleet, Roles: o.Roles}, "")
		})
	}
	first, last, err := seeds(o.Seeds, flag.Args())
	if err != nil {
		t.Fatal(err)
	}
	for seed := first; seed <= last; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { s.try(t, Options{Seed: seed, Roles: o.Roles}, o.Schedules) })
	}
}

// kept lists the schedules of a scenario.
func kept(t *testing.T, dir, scenario string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var own []string
	for _, name := range all {
		if f, err := os.Open(name); err == nil {
			if s, err := fault.Read(f); err != nil {
				t.Errorf("%s: %v", name, err)
			} else if s.Scenario == scenario {
				own = append(own, name)
			}
			_ = f.Close()
		}
	}
	return own
}

// seeds reads "seeds=3-50" of the arguments of a test.
func seeds(count int, args []string) (first, last uint64, err error) {
	first, last = 1, uint64(count)
	if count <= 0 {
		last = 3
		if testing.Short() {
			last = 1
		}
	}
	for _, arg := range args {
		text, ok := strings.CutPrefix(arg, "seeds=")
		if !ok {
			continue
		}
		from, to, two := strings.Cut(text, "-")
		if first, err = strconv.ParseUint(from, 10, 64); err == nil {
			last = first
			if two {
				last, err = strconv.ParseUint(to, 10, 64)
			}
		}
		if err != nil || last < first {
			return 0, 0, fmt.Errorf("seeds: want a number or a range, as in seeds=1-50, not %q", text)
		}
	}
	return first, last, nil
}

// alone is the environment variable of a process that runs one seed.
const alone = "APP_SIM_ALONE"

// try runs a scenario once, and fails t where an invariant breaks. Its schedule
// is kept in a folder; empty: it is kept already.
func (s Scenario) try(t *testing.T, o Options, keep string) {
	t.Helper()
	if twin.Exact && os.Getenv(alone) == "" {
		apart(t)
		return
	}
	seed := o.Runtime
	if seed == 0 {
		seed = o.Seed
	}
	twin.Arm(seed, twin.Shuffled)
	var report *Report
	var err error
	synctest.Test(t, func(t *testing.T) { report, err = s.Run(t.Context(), o) })
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range report.Violations {
		t.Errorf("%s seed %d: %s", s.Name, o.Seed, v)
	}
	if !report.Broken() || keep == "" {
		return
	}
	name := filepath.Join(keep, fmt.Sprintf("%s-%d.json", s.Name, o.Seed))
	if err := keepAt(name, fault.Schedule{Scenario: s.Name, Seed: o.Seed, Why: report.Violations[0].String(), Faults: report.Faults}); err != nil {
		t.Error(err)
	}
	t.Logf("its faults are in %s; make them fewer with: app sim --schedule=%[1]s --shrink --keep=%[1]s", name)
}

func keepAt(name string, s fault.Schedule) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return fmt.Errorf("keep a schedule: %w", err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640) //nolint:gosec // the test names it
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("keep a schedule: %w", err)
	}
	return errors.Join(s.Write(f), f.Close())
}

// apart runs the test that t is once more, in a process of its own.
func apart(t *testing.T) {
	t.Helper()
	var parts []string
	for _, part := range strings.Split(t.Name(), "/") {
		parts = append(parts, "^"+regexp.QuoteMeta(part)+"$")
	}
	args := append([]string{"-test.run=" + strings.Join(parts, "/"), "-test.count=1"}, flag.Args()...)
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...) //nolint:gosec // it is this very program
	cmd.Env = append(os.Environ(), alone+"=1")
	defer twin.Tie(cmd)()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
