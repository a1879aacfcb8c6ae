package sim_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"example.com/app/platform/app"
	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/load"
	"example.com/app/sim/simtest"
	"example.com/app/sim/trace"
	"example.com/app/sim/twin"
)

// short is a scenario of the small system.
func short() sim.Scenario {
	return sim.Scenario{Name: "short", Roles: simtest.System(), Duration: 5 * time.Second, Heal: 4 * time.Second, Recovery: 2 * time.Second}
}

// run runs a scenario in virtual time.
func run(t *testing.T, s sim.Scenario, o sim.Options) *sim.Report {
	t.Helper()
	var r *sim.Report
	synctest.Test(t, func(t *testing.T) {
		var err error
		r, err = s.Run(t.Context(), o)
		require.NoError(t, err)
	})
	return r
}

func invariants(r *sim.Report) []string {
	var all []string
	for _, v := range r.Violations {
		all = append(all, v.Invariant)
	}
	return all
}

func TestVirtualTimeOutsideTests(t *testing.T) {
	begin := time.Now()
	var slept time.Duration
	sim.Virtual(1, func(ctx context.Context) {
		require.NoError(t, ctx.Err())
		start := time.Now()
		time.Sleep(time.Hour)
		slept = time.Since(start)
	})
	require.Equal(t, time.Hour, slept)
	require.Less(t, time.Since(begin), time.Minute)
}

func TestACalmScenarioHolds(t *testing.T) {
	r := run(t, short(), sim.Options{Seed: 3})
	require.Empty(t, r.Violations)
	require.InDelta(t, 180, r.Requests, 60)
	require.Zero(t, r.Failed)
	require.Len(t, r.Rows, 4)
	require.Len(t, r.Hash, 64)
	require.Greater(t, r.Events, 3*r.Requests)
	require.InDelta(t, 9*time.Second, r.Virtual, float64(time.Second))
}

func TestEveryKindOfFaultCanHappenAndHeal(t *testing.T) {
	for _, k := range fault.Kinds() {
		t.Run(string(k), func(t *testing.T) {
			s := short()
			s.Faults = func(d sim.Draft) []fault.Fault {
				return fault.Plan{Count: 4, Kinds: []fault.Kind{k}, Places: d.Hosts, Within: d.Within}.Draw(d.Seed)
			}
			var happened, healed int
			s.Check = func(w *sim.World) {
				w.Finally("all is healed", func() error {
					for _, e := range w.Trace.Events() {
						switch e.Kind {
						case trace.Fault:
							happened++
						case trace.Heal:
							healed++
						}
					}
					if left := w.Active(); len(left) > 0 {
						return fmt.Errorf("%v", left)
					}
					return nil
				})
			}
			r := run(t, s, sim.Options{Seed: 5})
			require.Empty(t, r.Violations)
			require.Equal(t, 4, happened)
			if !k.Once() {
				require.Equal(t, 4, healed)
			}
		})
	}
}

func TestChecksThatDoNotHoldEndTheRun(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		check  func(*sim.World)
		faults []string
		want   string
	}{
		"a call": {check: func(w *sim.World) {
			w.EachCall("calls are fine", func(c app.Call) error {
				if c.Code != codes.OK {
					return boom
				}
				return nil
			})
		}, faults: []string{"1s lose-reply greeter 1"}, want: "calls are fine"},
		"a request": {check: (*sim.World).NoneLost, faults: []string{"1s lose-request greeter 1"}, want: "no request is lost"},
		"finally":   {check: func(w *sim.World) { w.Finally("the end is good", func() error { return boom }) }, want: "the end is good"},
		"sometimes": {check: func(w *sim.World) { w.Sometimes("pigs fly", func() bool { return false }) }, want: "sometimes: pigs fly"},
		"eventually": {check: func(w *sim.World) {
			w.Eventually("peace comes", time.Second, func() error { return boom })
		}, want: "peace comes"},
	} {
		t.Run(name, func(t *testing.T) {
			s := short()
			s.Check = c.check
			s.Faults = sim.Script(c.faults...)
			r := run(t, s, sim.Options{Seed: 1})
			require.Equal(t, c.want, r.Violations[0].Invariant)
			r = run(t, short(), sim.Options{Seed: 1})
			require.Empty(t, r.Violations, "without it all is well")
		})
	}
}

func TestFactsOfRolesAreChecked(t *testing.T) {
	s := short()
	roles := simtest.System()
	inner := roles[0].New
	roles[0].New = func(env *app.Env) (app.Service, error) {
		env.Fact("born", env.Instance, "")
		return inner(env)
	}
	s.Roles = roles
	s.Faults = sim.Script("1s crash gateway-1 for 1s")
	s.Check = func(w *sim.World) {
		born := map[string]int{}
		w.Always("an instance is born once", func(f app.Fact) error {
			if born[f.Host]++; born[f.Host] > 1 && f.Name == "born" {
				return fmt.Errorf("%s is born again as %s", f.Host, f.Key)
			}
			return nil
		})
	}
	r := run(t, s, sim.Options{Seed: 1})
	require.Equal(t, []string{"an instance is born once"}, invariants(r))
	require.Contains(t, r.Violations[0].Text, "gateway-1 is born again as gateway-1-")
	require.InDelta(t, 2*time.Second, r.Violations[0].At, float64(100*time.Millisecond))
}

func TestRequestsThatStillFailAfterAllIsHealedAreNoticed(t *testing.T) {
	s := short()
	s.Calls = []load.Call{{Name: "fail late", Do: func(context.Context, *load.User) error { return errors.New("no") }}}
	r := run(t, s, sim.Options{Seed: 1})
	require.Equal(t, "requests are answered again after all is healed", r.Violations[0].Invariant)
	require.InDelta(t, 7*time.Second, r.Violations[0].At, float64(time.Second))
}

func TestRequestsThatOutliveTheirUsersPatienceAreNoticed(t *testing.T) {
	s := short()
	s.Patience = time.Second
	s.Calls = []load.Call{{Name: "dawdle", Do: func(context.Context, *load.User) error { time.Sleep(1200 * time.Millisecond); return nil }}}
	r := run(t, s, sim.Options{Seed: 1})
	require.Equal(t, "requests end in time", r.Violations[0].Invariant)
}

func TestHandlersThatPanicAreNoticed(t *testing.T) {
	s := short()
	roles := simtest.System()
	roles[0].New = func(*app.Env) (app.Service, error) { return panicker{}, nil }
	s.Roles = roles
	r := run(t, s, sim.Options{Seed: 1})
	require.Contains(t, invariants(r), "no handler panics")
}

func TestFaultsThatNameNobodyAreAnError(t *testing.T) {
	s := short()
	s.Faults = sim.Script("1s crash nobody-1 for 1s")
	r := run(t, s, sim.Options{Seed: 1})
	require.Equal(t, []string{"faults can be injected"}, invariants(r))
	require.Contains(t, r.Violations[0].Text, "there is nobody at nobody-1")
}

func TestScriptsThatCannotBeReadPanic(t *testing.T) {
	require.Panics(t, func() { sim.Script("1s explode") })
}

func TestFaultsOfADraft(t *testing.T) {
	d := sim.Draft{Seed: 1, Hosts: []string{"a-1", "a-2", "b-1"}, Within: time.Minute}
	var all []string
	for _, f := range sim.Together(sim.Each("a", fault.Restart, time.Second, 5*time.Second, time.Second), sim.Script("3s crash b-1 for 1s"))(d) {
		all = append(all, f.String())
	}
	require.Equal(t, []string{"1s restart a-1 for 1s", "3s crash b-1 for 1s", "6s restart a-2 for 1s"}, all)
	for _, f := range sim.SwarmOn([]string{"b"}, 20, fault.Crash)(d) {
		require.Equal(t, "b-1", f.A)
	}
}

func TestScenariosKeepNothingFromOneRunToTheNext(t *testing.T) {
	runs := 0
	s := short()
	s.Begin = func(s *sim.Scenario) {
		var n atomic.Int64
		runs++
		s.Calls = []load.Call{{Name: "count", Do: func(context.Context, *load.User) error {
			if n.Add(1) > 300 { // of one run there are about 180
				return errors.New("too many")
			}
			return nil
		}}}
	}
	run(t, s, sim.Options{Seed: 1})
	run(t, s, sim.Options{Seed: 1})
	require.Equal(t, 2, runs)
}

func TestARunThatCannotStartSaysWhy(t *testing.T) {
	s := short()
	roles := simtest.System()
	roles[0].New = func(*app.Env) (app.Service, error) { return nil, errors.New("no routes") }
	s.Roles = roles
	synctest.Test(t, func(t *testing.T) {
		_, err := s.Run(t.Context(), sim.Options{})
		require.ErrorContains(t, err, "scenario short: start gateway-1: start gateway-1: no routes")
	})
	_, err := sim.Scenario{Name: "x", Fleet: map[string]int{"nobody": 1}}.Run(t.Context(), sim.Options{Roles: roles})
	require.EqualError(t, err, `scenario x: there is no role "nobody"`)
	_, err = sim.Scenario{Name: "x"}.Run(t.Context(), sim.Options{Roles: roles[:1]})
	require.ErrorContains(t, err, "no role says what users ask for")
}

func TestScenarioTestsReplayWhatIsKept(t *testing.T) {
	if twin.Exact {
		t.Skip("each seed runs in a process of its own, where this one can't count it")
	}
	dir := t.TempDir()
	ran := 0
	s := short()
	s.Check = func(*sim.World) { ran++ }
	sim.Test(t, s, sim.TestOptions{Seeds: 2, Schedules: dir})
	require.Equal(t, 2, ran)
	sim.Test(t, s, sim.TestOptions{Seeds: 1, Schedules: filepath.Join("testdata", "schedules")})
	require.Equal(t, 4, ran, "the kept schedule comes first")
}

func TestTheTraceIsTheStory(t *testing.T) {
	var lines strings.Builder
	s := short()
	s.Faults = sim.Script("2s crash greeter-1 for 1s")
	run(t, s, sim.Options{Seed: 1, Lines: &lines})
	for _, want := range []string{"up", "2s crash greeter-1 for 1s", "crashed", "back", "all is healed", "/grpc.testing.TestService/EmptyCall", "GET /a"} {
		require.Contains(t, lines.String(), want)
	}
}

func TestClocksCanBeWrong(t *testing.T) {
	s := short()
	roles := simtest.System()
	inner := roles[0].New
	var off atomic.Int64
	roles[0].New = func(env *app.Env) (app.Service, error) {
		time.AfterFunc(3*time.Second, func() { off.Store(int64(time.Until(env.Now()))) })
		return inner(env)
	}
	s.Roles = roles
	s.Faults = sim.Script("1s skew gateway -5m0s")
	r := run(t, s, sim.Options{Seed: 1})
	require.Equal(t, -5*time.Minute, time.Duration(off.Load()))
	require.Zero(t, r.Failed)
}
