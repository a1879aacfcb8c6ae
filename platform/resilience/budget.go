package resilience

import (
	"sync"
	"time"
)

// A BudgetConfig says how many calls may be sent twice. Zero values are the
// defaults.
type BudgetConfig struct {
	Ratio     float64 // of a retry, that each call pays in; 0 means 0.2
	PerSecond float64 // retries that are paid in whatever the calls; 0 means 10; below 0: none
	Burst     float64 // retries that can be saved up; 0 means 100
}

// A Budget keeps retries from multiplying what broke the service: each call
// pays a part of a retry in, each retry takes a whole one out (Finagle's retry
// budget). A fixed number of retries would double and triple the load just when
// every call fails.
type Budget struct {
	cfg BudgetConfig

	mu     sync.Mutex
	saved  float64
	paid   time.Time // when PerSecond was paid in last
	denied uint64
}

// start is what a Budget has saved up in the beginning.
const start = 10

// NewBudget returns a Budget with a few retries saved up.
func NewBudget(cfg BudgetConfig) *Budget {
	or(&cfg.Ratio, 0.2)
	or(&cfg.PerSecond, 10)
	or(&cfg.Burst, 100)
	cfg.PerSecond = max(cfg.PerSecond, 0)
	return &Budget{cfg: cfg, saved: min(start, cfg.Burst), paid: time.Now()}
}

// Call pays a call in. Retries of it are not calls.
func (b *Budget) Call() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.saved = min(b.saved+b.cfg.Ratio, b.cfg.Burst)
}

// Retry takes a retry out. False means that the budget is used up, and nothing
// must be sent.
func (b *Budget) Retry() bool {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.saved = min(b.saved+b.cfg.PerSecond*now.Sub(b.paid).Seconds(), b.cfg.Burst)
	b.paid = now
	if b.saved < 1 {
		b.denied++
		return false
	}
	b.saved--
	return true
}

// Denied is how many retries were not sent because the budget was used up.
func (b *Budget) Denied() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.denied
}
