package search_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/search"
)

// acting is the environment variable that makes this test program the one that
// is searched: a made-up fleet that answers at once.
const acting = "SEARCH_TEST_ACT"

func TestMain(m *testing.M) {
	if os.Getenv(acting) != "" {
		os.Exit(act())
	}
	os.Exit(m.Run())
}

// act runs one seed of the made-up scenario. It breaks where greeter-2 crashes
// while the registry is stale, with two runtime seeds of three.
func act() int {
	f := flag.NewFlagSet("act", flag.ContinueOnError)
	seed := f.Uint64("seed", 0, "")
	runtime := f.Uint64("runtime-seed", 0, "")
	file := f.String("schedule", "", "")
	f.Bool("json", false, "")
	if f.Parse(os.Args[1:]) != nil {
		return 2
	}
	r := sim.Report{Scenario: "act", Seed: *seed, Runtime: *runtime, Requests: 10, Virtual: time.Minute, Hash: fmt.Sprint("hash", *seed, *runtime)}
	fleet := map[string]int{"greeter": 4}
	r.Faults = draw(*seed)
	if *file != "" {
		in, err := os.Open(*file)
		if err != nil {
			return 2
		}
		s, err := fault.Read(in)
		if err != nil {
			return 2
		}
		r.Faults = s.Faults
		if s.Fleet != nil {
			fleet = s.Fleet
		}
	}
	crash := slices.ContainsFunc(r.Faults, func(f fault.Fault) bool {
		return (f.Kind == fault.Crash || f.Kind == fault.PowerCut) && f.A == "greeter-2"
	})
	stale := slices.ContainsFunc(r.Faults, func(f fault.Fault) bool { return f.Kind == fault.RegistryStale && f.For >= time.Second })
	switch {
	case os.Getenv(acting) == "dies" && crash:
		panic("nil map")
	case os.Getenv(acting) == "hangs":
		select {}
	case os.Getenv(acting) == "drifts":
		r.Hash += fmt.Sprint(os.Getpid())
	case crash && stale && *runtime%3 != 1 && fleet["greeter"] >= 2:
		r.Violations = []sim.Violation{{At: time.Second, Invariant: "no order twice", Text: "order 7"}}
	}
	_ = json.NewEncoder(os.Stdout).Encode(r)
	return 0
}

func draw(seed uint64) []fault.Fault {
	return fault.Plan{
		Count: 14, Kinds: []fault.Kind{fault.Crash, fault.PowerCut, fault.RegistryStale, fault.Slow}, Places: []string{"greeter-1", "greeter-2", "greeter-3", "greeter-4"}, Within: time.Minute,
	}.Draw(seed)
}

// program is this test program, acting.
func program(t *testing.T, how string) search.Program {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	return search.Program{Path: self, Env: append(os.Environ(), acting+"="+how), Timeout: time.Minute}
}

func TestSearchFindsTheFirstSeedThatBreaks(t *testing.T) {
	var told int
	found, p, err := search.Search(t.Context(), program(t, "well"), search.Plan{From: 1, Count: 400, Jobs: 3}, func(search.Progress, search.Result) { told++ })
	require.NoError(t, err)
	require.Len(t, found, 1)
	first := found[0]
	require.Equal(t, "no order twice", first.Invariant())
	require.Equal(t, p.Done, told)
	require.Equal(t, 10*p.Done, p.Requests)
	require.Equal(t, time.Duration(p.Done)*time.Minute, p.Virtual)

	all, p, err := search.Search(t.Context(), program(t, "well"), search.Plan{From: 1, Count: 20, Jobs: 3, Collect: true, Paranoid: true}, nil)
	require.NoError(t, err)
	require.Equal(t, first.Seed, all[0].Seed, "however many processes there are")
	require.Len(t, all, p.Broken)
	require.Equal(t, 20, p.Done)
	require.Equal(t, 2, p.Compared)
}

func TestSearchNoticesThatOneSeedGivesTwoTraces(t *testing.T) {
	_, _, err := search.Search(t.Context(), program(t, "drifts"), search.Plan{From: 1, Count: 20, Jobs: 2, Paranoid: true}, nil)
	var drift *search.DriftError
	require.ErrorAs(t, err, &drift)
	require.ErrorContains(t, err, "gave two traces")
}

func TestSearchCountsProcessesThatDie(t *testing.T) {
	found, _, err := search.Search(t.Context(), program(t, "dies"), search.Plan{From: 1, Count: 100, Jobs: 2}, nil)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, "the process lives", found[0].Invariant())
	require.Contains(t, found[0].Died, "panic: nil map")
}

func TestAProcessThatHangsIsAskedForItsStacks(t *testing.T) {
	p := program(t, "hangs")
	p.Timeout = 300 * time.Millisecond
	r, err := p.Run(t.Context(), search.Job{Seed: 1})
	require.NoError(t, err)
	require.True(t, r.Broken())
	require.Contains(t, r.Died, "it hung, and was asked for its stacks after 300ms")
	require.Contains(t, r.Died, "SIGQUIT: quit")
}

func TestSearchEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, p, err := search.Search(ctx, program(t, "well"), search.Plan{Count: 1000, Jobs: 2}, nil)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, p.Done)
}

func TestAProgramThatDoesNotUnderstandIsAnError(t *testing.T) {
	p := program(t, "well")
	p.Args = []string{"--what"}
	_, err := p.Run(t.Context(), search.Job{Seed: 1})
	require.ErrorContains(t, err, "run seed 1: flag provided but not defined: -what")
	p.Path += "-gone"
	_, err = p.Run(t.Context(), search.Job{Seed: 1})
	require.ErrorContains(t, err, "run seed 1: ")
}

func TestShrinkLeavesWhatTheFailureNeeds(t *testing.T) {
	p := program(t, "well")
	found, _, err := search.Search(t.Context(), p, search.Plan{From: 1, Count: 400, Jobs: 3}, nil)
	require.NoError(t, err)
	require.NotEmpty(t, found)
	steps := 0
	small, err := search.Shrink(t.Context(), p, found[0], search.Shrinking{Jobs: 2, Fleet: map[string]int{"greeter": 4}}, func(search.Small) { steps++ })
	require.NoError(t, err)
	require.Positive(t, steps)
	require.Len(t, small.Faults, 2)
	var texts []string
	for _, f := range small.Faults {
		texts = append(texts, f.String())
		if f.Kind == fault.RegistryStale {
			require.GreaterOrEqual(t, f.For, time.Second)
			require.Less(t, f.For, 2*time.Second, "it has been shortened")
		}
	}
	require.Contains(t, strings.Join(texts, "\n"), "crash greeter-2")
	require.Contains(t, strings.Join(texts, "\n"), "registry-stale")
	require.Equal(t, 2, small.Fleet["greeter"], "the others are not needed")
	require.Equal(t, "t=1s  no order twice: order 7", small.Why)
	again, err := p.Run(t.Context(), search.Job{Seed: small.Seed, Runtime: small.Runtime, Schedule: &small.Schedule})
	require.NoError(t, err)
	require.Equal(t, "no order twice", again.Invariant(), "what is kept fails")
}

func TestShrinkSaysWhereAFailureDoesNotHappenAgain(t *testing.T) {
	r := search.Result{Job: search.Job{Seed: 3}, Report: &sim.Report{Scenario: "act", Violations: []sim.Violation{{Invariant: "another"}}}}
	_, err := search.Shrink(t.Context(), program(t, "well"), r, search.Shrinking{Jobs: 2, Tries: 2}, nil)
	require.ErrorContains(t, err, "shrink seed 3: it does not happen again in a fresh process")
}
