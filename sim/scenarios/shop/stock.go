package shop

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"example.com/app/platform/app"
	"example.com/app/platform/rpc"
)

// orders places orders. It keeps nothing, and does not ask again: who asked it
// does, and three times three attempts would be nine.
type orders struct {
	env   *app.Env
	stock *grpc.ClientConn
}

func newOrders(env *app.Env) (app.Service, error) {
	conn, err := env.Dial("stock")
	return &orders{env, conn}, err
}

// Register adds the service to a server.
func (o *orders) Register(s grpc.ServiceRegistrar) {
	s.RegisterService(describe("shop.Orders", method[*orders]{"Place", place}), o)
}

func place(ctx context.Context, o *orders, in *text) (*text, error) {
	state(ctx, o.env, request(ctx))
	if _, err := ask(ctx, o.stock, TakeItem, in.GetValue()); err != nil {
		return nil, fmt.Errorf("ask the stock: %w", err)
	}
	return in, nil
}

// request is the id of the request that a call is part of.
func request(ctx context.Context) string {
	if id := metadata.ValueFromIncomingContext(ctx, rpc.RequestID); len(id) > 0 {
		return id[0]
	}
	return ""
}

type stock struct {
	env    *app.Env
	keeper Keeper
}

// Register adds the service to a server.
func (k *stock) Register(s grpc.ServiceRegistrar) {
	s.RegisterService(describe("shop.Stock", method[*stock]{"Take", take}, method[*stock]{"Count", count}), k)
}

func take(ctx context.Context, k *stock, in *text) (*text, error) {
	state(ctx, k.env, request(ctx))
	fact := Asked
	if k.keeper.Take(in.GetValue()) {
		fact = Sold
	}
	k.env.Fact(fact, in.GetValue(), "")
	return in, nil
}

func count(_ context.Context, k *stock, _ *text) (*text, error) {
	return wrapperspb.String(strconv.Itoa(k.keeper.Count())), nil
}

// ledger is a Keeper that remembers every order.
type ledger struct {
	mu   sync.Mutex
	sold map[string]bool
}

// Ledger returns a Keeper that remembers every order, and so sells once.
func Ledger() Keeper { return &ledger{sold: map[string]bool{}} }

func (l *ledger) Take(order string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := !l.sold[order]
	l.sold[order] = true
	return taken
}

func (l *ledger) Count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.sold)
}
