// Package search looks for seeds that break a scenario, and makes what they
// break small enough to read.
//
//	Search  runs seeds, each in a fresh process, several at a time
//	Shrink  takes away from a schedule all that it can break without
package search

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Plan says which seeds to run.
type Plan struct {
	From     uint64 // the first seed
	Count    int
	Jobs     int  // processes at a time; 0 means 1
	Collect  bool // go on after a seed that fails
	Paranoid bool // run each tenth seed twice, and compare
}

// Progress is how far a search is.
type Progress struct {
	Done, Broken int
	Requests     int           // of all runs
	Virtual      time.Duration // time that passed in all fleets together
	Elapsed      time.Duration // by the wall clock
	Compared     int           // seeds that were run twice
}

// twice is the distance of seeds that a paranoid search runs twice.
const twice = 10

// A DriftError tells that one seed gave two traces.
type DriftError struct {
	Seed uint64
	A, B string // hashes
}

// Error names the seed and the hashes.
func (e *DriftError) Error() string {
	return fmt.Sprintf("seed %d gave two traces, %.8s and %.8s: something in the fleet depends on more than the seed; compare them with --verify", e.Seed, e.A, e.B)
}

// Search runs the seeds of a plan, and returns those that broke an invariant,
// in the order of their seeds. Tell, which may be nil, hears of each run.
// An error means that the search could not be finished.
func Search(ctx context.Context, p Program, plan Plan, tell func(Progress, Result)) ([]Result, Progress, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s := &searching{begin: time.Now(), tell: tell, plan: plan}
	var workers sync.WaitGroup
	for range max(1, plan.Jobs) {
		workers.Go(func() {
			for ctx.Err() == nil {
				seed, ok := s.take()
				if !ok {
					return
				}
				if err := s.run(ctx, p, seed); err != nil {
					stop(err)
				}
			}
		})
	}
	workers.Wait()
	err := context.Cause(ctx)
	s.progress.Elapsed = time.Since(s.begin)
	return s.found(), s.progress, err
}

type searching struct {
	plan  Plan
	begin time.Time
	tell  func(Progress, Result)

	mu       sync.Mutex
	next     int
	broken   map[uint64]Result
	progress Progress
}

// take is the next seed. After a failure none is begun that comes later: the
// first of the plan that fails is found, however many processes there are.
func (s *searching) take() (uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next >= s.plan.Count || len(s.broken) > 0 && !s.plan.Collect {
		return 0, false
	}
	s.next++
	return s.plan.From + uint64(s.next-1), true
}

func (s *searching) run(ctx context.Context, p Program, seed uint64) error {
	r, err := p.Run(ctx, Job{Seed: seed})
	if err != nil {
		return err
	}
	again := s.plan.Paranoid && (seed-s.plan.From)%twice == 0 && r.Report != nil
	if again {
		other, err := p.Padded(10_000).Run(ctx, Job{Seed: seed})
		if err != nil {
			return err
		}
		if other.Report == nil || other.Report.Hash != r.Report.Hash {
			hash := "none"
			if other.Report != nil {
				hash = other.Report.Hash
			}
			return &DriftError{seed, r.Report.Hash, hash}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress.Done++
	if again {
		s.progress.Compared++
	}
	if r.Report != nil {
		s.progress.Requests += r.Report.Requests
		s.progress.Virtual += r.Report.Virtual
	}
	if r.Broken() {
		if s.broken == nil {
			s.broken = map[uint64]Result{}
		}
		s.broken[seed] = r
		s.progress.Broken++
	}
	s.progress.Elapsed = time.Since(s.begin)
	if s.tell != nil {
		s.tell(s.progress, r)
	}
	return nil
}

// found is what failed; the first alone where the search ended with it.
func (s *searching) found() []Result {
	var all []Result
	for i := range s.plan.Count {
		r, ok := s.broken[s.plan.From+uint64(i)]
		if !ok {
			continue
		}
		all = append(all, r)
		if !s.plan.Collect {
			break
		}
	}
	return all
}

// errNotAgain tells that a failure did not happen a second time.
var errNotAgain = errors.New("it does not happen again in a fresh process: with --virtual that is to be expected, use --seed; else look for what depends on more than the seed, with --verify")
