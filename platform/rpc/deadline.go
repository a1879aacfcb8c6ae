package rpc

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"example.com/app/platform/errs"
)

// Deadlines of calls that are made.
const (
	longest = time.Minute          // that a unary call may take, whatever it was given
	margin  = 5 * time.Millisecond // kept of the time of the call being served, but no more than a tenth of it
)

// within bounds the time of a unary call. A call that is made while another one
// is served gets less time than that one has left: else the answer to "it took
// too long" would itself come too late, and the caller would learn nothing. It
// fails with errs.Deadline where nothing would be left.
func (c *client) within(ctx context.Context, method string) (context.Context, context.CancelFunc, error) {
	most := c.methods.of(method).Timeout
	deadline, ok := ctx.Deadline()
	if !ok {
		if most == 0 {
			most = c.timeout
		}
		ctx, cancel := context.WithTimeout(ctx, min(most, longest))
		return ctx, cancel, nil
	}
	given := time.Until(deadline)
	left := given
	if grpc.ServerTransportStreamFromContext(ctx) != nil {
		left -= c.keep(given)
	}
	if left <= 0 {
		return nil, nil, errs.Deadline.New("no time is left to ask %s", c.role).Because("NO_TIME_LEFT", "role", c.role)
	}
	if most > 0 {
		left = min(left, most)
	}
	if left = min(left, longest); left == given {
		return ctx, func() {}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, left)
	return ctx, cancel, nil
}

// keep is what is kept of the time that the call being served has left.
func (c *client) keep(left time.Duration) time.Duration {
	if c.margin != 0 {
		return max(c.margin, 0)
	}
	return min(margin, left/10)
}
