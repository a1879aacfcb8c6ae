// Package shop is a small system for the scenarios that need what the program's
// own roles lack: an effect that must not happen twice, and three hops.
//
//	user → gateway → orders → stock
//
// It is written as such systems should be: whoever has the deadline and knows
// what is asked for asks again, each order has an id that follows it, and stock,
// which keeps what was sold, sells once for each id.
package shop

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"example.com/app/platform/app"
	"example.com/app/platform/auth/rule"
)

// The methods of the shop's services, and the facts that its roles state.
const (
	PlaceOrder = "/shop.Orders/Place"
	TakeItem   = "/shop.Stock/Take"
	CountItems = "/shop.Stock/Count"

	Sold     = "sold"     // an item went, for the order that is the key
	Asked    = "asked"    // the order that is the key was asked for again, and sold before
	Answered = "answered" // a user was told that the order that is the key is placed
	Deadline = "deadline" // the request that is the key has until the value, as time.RFC3339Nano
)

// A Keeper keeps what is in stock. Its methods may be called from many
// goroutines.
type Keeper interface {
	// Take takes an item for an order, and says whether this call was it. It is
	// false where the order had its item already.
	Take(order string) (taken bool)

	// Count is the number of items that are gone.
	Count() int
}

// Roles are the shop's, whose stock is kept by what keeper returns. It is called
// for each start of a stock, which forgets what it kept before.
func Roles(keeper func() Keeper) []app.Role {
	return []app.Role{
		{Name: "gateway", Doc: "takes orders over HTTP", Edge: true, New: newGateway},
		{
			Name: "orders", Doc: "places orders", Callers: []string{"gateway"}, New: newOrders,
			Rules: rule.Table{"/shop.Orders/": {Peers: []string{"gateway"}}},
		},
		{
			Name: "stock", Doc: "keeps what is for sale", Callers: []string{"gateway", "orders"},
			Rules: rule.Table{"/shop.Stock/": {Peers: []string{"gateway", "orders"}}},
			New:   func(env *app.Env) (app.Service, error) { return &stock{env, keeper()}, nil },
		},
	}
}

// A text is what all methods of the shop take and give.
type text = wrapperspb.StringValue

// A method is one that a service S answers.
type method[S any] struct {
	name   string
	answer func(ctx context.Context, s S, in *text) (*text, error)
}

// describe is a service as protoc would describe it.
func describe[S any](service string, methods ...method[S]) *grpc.ServiceDesc {
	desc := &grpc.ServiceDesc{ServiceName: service, HandlerType: (*app.Service)(nil)}
	for _, m := range methods {
		info := &grpc.UnaryServerInfo{FullMethod: fmt.Sprintf("/%s/%s", service, m.name)}
		desc.Methods = append(desc.Methods, grpc.MethodDesc{MethodName: m.name, Handler: func(s any, ctx context.Context, read func(any) error, around grpc.UnaryServerInterceptor) (any, error) {
			in := new(text)
			if err := read(in); err != nil {
				return nil, err
			}
			return around(ctx, in, info, func(ctx context.Context, in any) (any, error) { return m.answer(ctx, s.(S), in.(*text)) })
		}})
	}
	return desc
}

// ask calls a method of another role.
func ask(ctx context.Context, conn *grpc.ClientConn, method, what string) (string, error) {
	out := new(text)
	err := conn.Invoke(ctx, method, wrapperspb.String(what), out)
	return out.GetValue(), err
}

// state states until when a request may be worked on.
func state(ctx context.Context, env *app.Env, request string) {
	if until, ok := ctx.Deadline(); ok {
		env.Fact(Deadline, request, until.Format(time.RFC3339Nano))
	}
}
