package rpc

import "context"

// A Guard decides who may call.
type Guard interface {
	// Admit lets a call of a method, as in "/pkg.Service/Method", in, or fails
	// with what its caller is told. The context that it returns is the call's
	// from then on. It is asked once for every call but those of health, from
	// many goroutines.
	Admit(ctx context.Context, method string) (context.Context, error)
}

// open is a guard who lets everybody in.
type open struct{}

func (open) Admit(ctx context.Context, _ string) (context.Context, error) { return ctx, nil }
