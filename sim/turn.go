package sim

import (
	"context"
	"errors"
	"fmt"

	"example.com/app/platform/app"
	"example.com/app/platform/balance/policy"
)

// maxRate is the most that a user of this program may ask of one process, in
// calls per second.
const maxRate = 100_000

// SetRate changes the load of a world whose Options have a Knob.
func (w *World) SetRate(perSecond float64) error {
	switch {
	case w.options.Knob == nil:
		return errors.New("the arrivals of this scenario are its own")
	case !(perSecond > 0 && perSecond <= maxRate): // NaN is no rate either
		return fmt.Errorf("the rate must be above 0 and at most %d, not %v", maxRate, perSecond)
	}
	w.options.Knob.Turn(perSecond)
	return nil
}

// Rate is the load of a world whose Options have a Knob; 0: it has none.
func (w *World) Rate() float64 {
	if w.options.Knob == nil {
		return 0
	}
	return w.options.Knob.Rate()
}

// SetBalance changes how calls are shared among instances: all instances are
// restarted for it in turn, in order, those that are up. It returns when that is
// done, or ctx has ended.
func (w *World) SetBalance(ctx context.Context, text string) error {
	if _, err := policy.Parse(text); err != nil {
		return err
	}
	w.mu.Lock()
	w.policy = text
	w.mu.Unlock()
	for _, h := range w.Fleet.Up() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := w.Fleet.Stop(h); err != nil {
			w.state(h, err.Error())
		}
		if err := w.Fleet.Start(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// Balance is what SetBalance has set; empty: nothing.
func (w *World) Balance() string { w.mu.Lock(); defer w.mu.Unlock(); return w.policy }

// each changes the settings of a node.
func (w *World) each(host string, cfg *app.Config) {
	cfg.Zone, cfg.Now = w.zone(host), w.clocks.of(host)
	if p := w.Balance(); p != "" {
		cfg.Balance = map[string]app.Balance{"": {Policy: p}}
	}
}
