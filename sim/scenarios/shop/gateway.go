package shop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"example.com/app/platform/app"
	"example.com/app/platform/errs"
	"example.com/app/platform/rpc"
	"example.com/app/platform/transcode"
)

// How long the gateway works on a request, and how it asks again.
const (
	most     = 900 * time.Millisecond
	attempts = 3
	pause    = 50 * time.Millisecond
)

type gateway struct {
	env           *app.Env
	orders, stock *grpc.ClientConn
	mux           *http.ServeMux
}

// newGateway builds a gateway with two routes.
func newGateway(env *app.Env) (app.Service, error) {
	orders, err := env.Dial("orders")
	stock, also := env.Dial("stock")
	g := &gateway{env, orders, stock, http.NewServeMux()}
	g.mux.HandleFunc("POST /orders/{id}", g.order)
	g.mux.HandleFunc("GET /items", g.count)
	return g, errors.Join(err, also)
}

// Register adds nothing: the gateway speaks HTTP.
func (*gateway) Register(grpc.ServiceRegistrar) {}

// ServeHTTP answers one request, in a time that leaves its user some.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Request-Id")
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(r.Context(), rpc.RequestID, id), most)
	defer cancel()
	state(ctx, g.env, id)
	g.mux.ServeHTTP(w, r.WithContext(ctx))
}

// order places the order that its user named, and so may ask again.
func (g *gateway) order(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	_, err := ask(r.Context(), g.orders, PlaceOrder, id)
	for i := 1; i < attempts && errs.Unavailable.Is(err) && rest(r.Context()); i++ {
		_, err = ask(r.Context(), g.orders, PlaceOrder, id)
	}
	if err != nil {
		transcode.WriteError(w, r, err)
		return
	}
	g.env.Fact(Answered, id, "")
	fmt.Fprintln(w, id)
}

// rest waits a little, and says whether there is time left.
func rest(ctx context.Context) bool {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// count says how many items are gone.
func (g *gateway) count(w http.ResponseWriter, r *http.Request) {
	n, err := ask(r.Context(), g.stock, CountItems, "")
	if err != nil {
		transcode.WriteError(w, r, err)
		return
	}
	fmt.Fprintln(w, n)
}
