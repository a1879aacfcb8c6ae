package quality

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
)

// A Bench is many runs: every entrant in every scenario. The zero value of
// everything but Makers is its default.
type Bench struct {
	Makers    []Maker
	Scenarios []Scenario // nil means all
	Sizes     []int      // numbers of instances; nil means 2, 3, 10 and 100
	Ramp      int        // instances in the ramp; 0 means 100, below 0: there is none
	AtOnce    int        // runs at a time; 0 means 4
}

// Run runs it. Results are in order: by entrant, scenario
// and number of instances, and at last the ramp.
func (b Bench) Run(ctx context.Context) ([]Result, error) {
	jobs := b.jobs()
	results := make([][]Result, len(jobs))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range cmp.Or(b.AtOnce, 4) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(jobs) {
					return
				}
				results[i] = jobs[i]()
			}
		})
	}
	workers.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var all []Result
	for _, r := range results {
		all = append(all, r...)
	}
	return all, nil
}

func (b Bench) jobs() (jobs []func() []Result) {
	if b.Scenarios == nil {
		b.Scenarios = Scenarios()
	}
	if b.Sizes == nil {
		b.Sizes = []int{2, 3, 10, 100}
	}
	for _, m := range b.Makers {
		for _, s := range b.Scenarios {
			for _, n := range b.Sizes {
				jobs = append(jobs, func() []Result { return []Result{Run(Config{Scenario: s, Maker: m, Instances: n})} })
			}
		}
	}
	if b.Ramp >= 0 {
		for _, m := range b.Makers {
			jobs = append(jobs, func() []Result { return Ramp(Config{Maker: m, Instances: b.Ramp}) })
		}
	}
	return jobs
}
