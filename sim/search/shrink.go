package search

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"example.com/app/sim/fault"
)

// A Shrinking says how hard to try.
type Shrinking struct {
	Tries int            // runtime seeds for each candidate; 0 means 8
	Jobs  int            // processes at a time; 0 means 1
	Fleet map[string]int // instances by role that the scenario has; none: that is left alone

	// Draw is the scenario's own schedule of a seed, for processes that died
	// before they could tell it.
	Draw func(seed uint64) []fault.Fault
}

// A Small is what is left of a failure.
type Small struct {
	fault.Schedule
	Result Result // of its last run
	Runs   int    // that it took
	Took   time.Duration
}

// Shrink takes away from a failure what it does not need: first faults (delta
// debugging, Zeller and Hildebrandt, IEEE TSE 2002), then time, then instances,
// then it puts simpler faults in the place of others. To take a fault away
// changes all that comes after it, so that each candidate is tried with several
// runtime seeds; one that breaks the same invariant is enough. Tell, which may
// be nil, hears of each step.
func Shrink(ctx context.Context, p Program, r Result, cfg Shrinking, tell func(Small)) (Small, error) {
	if cfg.Tries <= 0 {
		cfg.Tries = 8
	}
	s := &shrinking{ctx: ctx, program: p, cfg: cfg, want: r.Invariant(), tell: tell, begin: time.Now()}
	s.best.Schedule = fault.Schedule{Seed: r.Seed, Runtime: r.Runtime}
	switch {
	case r.Schedule != nil:
		s.best.Schedule = *r.Schedule
	case r.Report != nil:
		s.best.Scenario, s.best.Faults = r.Report.Scenario, r.Report.Faults
	case cfg.Draw != nil:
		s.best.Faults = cfg.Draw(r.Seed)
	}
	if !s.accept(s.best.Schedule) {
		if ctx.Err() != nil {
			return s.best, ctx.Err()
		}
		return s.best, fmt.Errorf("shrink seed %d: %w", r.Seed, errNotAgain)
	}
	s.fewer()
	s.shorter()
	s.smaller()
	s.simpler()
	s.best.Took = time.Since(s.begin)
	return s.best, ctx.Err()
}

type shrinking struct {
	ctx     context.Context //nolint:containedctx // it lives no longer than Shrink
	program Program
	cfg     Shrinking
	want    string
	tell    func(Small)
	begin   time.Time
	best    Small
}

// accept makes a candidate the best one, if it breaks the same invariant.
func (s *shrinking) accept(c fault.Schedule) bool {
	for first := 0; first < s.cfg.Tries && s.ctx.Err() == nil; first += max(1, s.cfg.Jobs) {
		if r, ok := s.round(c, first); ok {
			c.Runtime, c.Why = r.Runtime, why(r)
			s.best.Schedule, s.best.Result, s.best.Took = c, r, time.Since(s.begin)
			s.best.Result.Schedule = &c
			if s.tell != nil {
				s.tell(s.best)
			}
			return true
		}
	}
	return false
}

// round tries a candidate with some runtime seeds at once, and returns the first
// that breaks the invariant: the one that did last, then others.
func (s *shrinking) round(c fault.Schedule, first int) (Result, bool) {
	n := min(max(1, s.cfg.Jobs), s.cfg.Tries-first)
	results := make([]Result, n)
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() {
			job := Job{Seed: c.Seed, Runtime: c.Runtime, Schedule: &c}
			if first+i > 0 {
				job.Runtime = c.Seed*1000 + uint64(first+i)
			}
			results[i], _ = s.program.Run(s.ctx, job)
		})
	}
	running.Wait()
	s.best.Runs += n
	for _, r := range results {
		if s.ctx.Err() == nil && r.Took > 0 && r.Broken() && r.Invariant() == s.want {
			return r, true
		}
	}
	return Result{}, false
}

// why is what a failure says of itself.
func why(r Result) string {
	if r.Report == nil {
		return died
	}
	return r.Report.Violations[0].String()
}

// fewer takes faults away: halves, then quarters, then single ones.
func (s *shrinking) fewer() {
	if c := s.best.Schedule; len(c.Faults) > 0 {
		c.Faults = nil
		if s.accept(c) {
			return // it needs none at all
		}
	}
	for n := 2; len(s.best.Faults) > 1 && s.ctx.Err() == nil; {
		all := s.best.Faults
		step := (len(all) + n - 1) / n
		hit := false
		for i := 0; i < len(all) && !hit; i += step {
			c := s.best.Schedule
			c.Faults = slices.Concat(all[:i], all[min(i+step, len(all)):])
			hit = s.accept(c)
		}
		switch {
		case hit:
			n = max(n-1, 2)
		case n >= len(all):
			return
		default:
			n = min(n*2, len(all))
		}
	}
}

// shorter halves how long faults last.
func (s *shrinking) shorter() {
	for i := range s.best.Faults {
		for s.best.Faults[i].For > 20*time.Millisecond && s.ctx.Err() == nil {
			c := s.best.Schedule
			c.Faults = slices.Clone(c.Faults)
			c.Faults[i].For = (c.Faults[i].For / 2).Round(time.Millisecond)
			if !s.accept(c) {
				break
			}
		}
	}
}

// smaller takes instances away, the last of a role first.
func (s *shrinking) smaller() {
	if len(s.cfg.Fleet) == 0 {
		return
	}
	for _, role := range slices.Sorted(maps.Keys(s.cfg.Fleet)) {
		for s.ctx.Err() == nil {
			c := s.best.Schedule
			fleet := maps.Clone(c.Fleet)
			if fleet == nil {
				fleet = maps.Clone(s.cfg.Fleet)
			}
			last := fmt.Sprintf("%s-%d", role, fleet[role])
			struck := slices.ContainsFunc(c.Faults, func(f fault.Fault) bool { return f.A == last || f.B == last })
			if fleet[role] < 2 || struck {
				break
			}
			fleet[role]--
			c.Fleet = fleet
			if !s.accept(c) {
				break
			}
		}
	}
}

// simpler puts a crash where the power was cut, and a reset where nothing got
// through.
func (s *shrinking) simpler() {
	for i := range s.best.Faults {
		c := s.best.Schedule
		c.Faults = slices.Clone(c.Faults)
		f := &c.Faults[i]
		switch f.Kind {
		case fault.PowerCut:
			f.Kind = fault.Crash
		case fault.Partition:
			f.Kind, f.For, f.OneWay = fault.Reset, 0, false
		default:
			continue
		}
		if s.ctx.Err() == nil {
			s.accept(c)
		}
	}
}
