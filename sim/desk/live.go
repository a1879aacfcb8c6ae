package desk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"example.com/app/sim"
	"example.com/app/sim/load"
)

// watch runs the scenario in real time, and shows how it goes.
func (t *task) watch(ctx context.Context) error {
	begin := time.Now()
	side, cancel := context.WithCancel(context.Background())
	defer cancel()
	var sides sync.WaitGroup
	options := t.options.sim(t)
	options.Live = true
	options.Seed = max(1, options.Seed)
	if t.bare {
		options.Knob = load.NewKnob(t.rate)
	}
	options.Started = func(w *sim.World) {
		t.world = w
		sides.Go(func() { t.show(side, t.cmd.ErrOrStderr()) })
	}
	lines, end, err := t.lines()
	if err != nil {
		return err
	}
	options.Lines = lines
	report, err := t.scenario.Run(ctx, options)
	cancel()
	sides.Wait()
	if err = errors.Join(err, end()); err != nil {
		return err
	}
	t.table(t.cmd.OutOrStdout(), report)
	if t.world != nil {
		if err := t.draw(report, t.world.Trace.Events()); err != nil {
			return err
		}
	}
	switch {
	case ctx.Err() != nil: // the table has what happened until then
		return fmt.Errorf("interrupted after %v of %v", time.Since(begin).Round(100*time.Millisecond), t.scenario.Duration+t.scenario.Heal)
	case report.Broken():
		return verdict(report)
	case t.bare && report.Failed > 0:
		return fmt.Errorf("%d of %d calls were lost, the first: %s", report.Failed, report.Requests, report.FirstLost)
	}
	return nil
}
