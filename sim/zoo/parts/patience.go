package parts

import (
	"context"
	"time"
)

// pause is how long Retry waits between two tries.
const pause = 50 * time.Millisecond

// Retry calls do until it succeeds, or until ctx ends, and returns what do said
// last.
func Retry(ctx context.Context, do func() error) error {
	for {
		err := do()
		if err == nil || !Sleep(ctx, pause) {
			return err
		}
	}
}

// Every calls do again and again, a while after it returned each time, until
// ctx ends.
func Every(ctx context.Context, while time.Duration, do func()) {
	for Sleep(ctx, while) {
		do()
	}
}

// Sleep waits for a while, or until ctx ends, and says whether it was not ctx.
func Sleep(ctx context.Context, while time.Duration) bool {
	t := time.NewTimer(while)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
