// Package parts is what the systems of the zoo are built from: roles that ask
// each other in plain text, and a disk that outlives them.
//
// A request and an answer are words with blanks between them. That leaves each
// of the zoo's systems as short as its bug.
package parts

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"example.com/app/platform/app"
	"example.com/app/platform/auth/rule"
	"example.com/app/platform/transcode"
)

// A Method answers one kind of call. Do may be called from many goroutines.
type Method struct {
	Name string
	Do   func(ctx context.Context, words []string) (string, error)
}

// A Service answers the calls of a role.
type Service struct {
	Role    string
	Methods []Method
}

// Register implements app.Service.
func (s Service) Register(to grpc.ServiceRegistrar) {
	desc := grpc.ServiceDesc{ServiceName: service(s.Role), HandlerType: (*app.Service)(nil)}
	for _, m := range s.Methods {
		desc.Methods = append(desc.Methods, grpc.MethodDesc{MethodName: m.Name, Handler: m.handler(Full(s.Role, m.Name))})
	}
	to.RegisterService(&desc, s)
}

// handler is what generated code has for a unary method.
func (m Method) handler(full string) grpc.MethodHandler {
	do := func(ctx context.Context, req any) (any, error) {
		text, err := m.Do(ctx, strings.Fields(req.(*wrapperspb.StringValue).GetValue()))
		return wrapperspb.String(text), err
	}
	return func(srv any, ctx context.Context, decode func(any) error, around grpc.UnaryServerInterceptor) (any, error) {
		req := new(wrapperspb.StringValue)
		if err := decode(req); err != nil {
			return nil, err
		}
		if around == nil {
			return do(ctx, req)
		}
		return around(ctx, req, &grpc.UnaryServerInfo{Server: srv, FullMethod: full}, do)
	}
}

func service(role string) string { return "zoo." + role }

// Full is a method's name as gRPC writes it, "/zoo.orders/Place".
func Full(role, method string) string { return "/" + service(role) + "/" + method }

// A Worker is a Service that has work of its own: an app.Runner.
type Worker struct {
	Service
	Work func(ctx context.Context) error // see app.Runner
}

// Run implements app.Runner.
func (w Worker) Run(ctx context.Context) error { return w.Work(ctx) }

// Backend is a role that any other may call. Its service, which build makes, is
// a Service or a Worker of that name.
func Backend(name string, build func(*app.Env) (app.Service, error)) app.Role {
	return app.Role{
		Name: name, Callers: []string{"*"}, New: build,
		Rules: rule.Table{"/" + service(name) + "/": {Peers: []string{"*"}}},
	}
}

// A Door answers the requests of users, where path is what lies between the
// slashes and id the request's X-Request-Id.
type Door func(ctx context.Context, id string, path []string) (string, error)

// Gateway is the role that users ask. Each of its requests has at most a while.
func Gateway(most time.Duration, build func(*app.Env) (Door, error)) app.Role {
	return app.Role{Name: "gateway", Edge: true, New: func(env *app.Env) (app.Service, error) {
		open, err := build(env)
		return &door{open, most}, err
	}}
}

type door struct {
	open Door
	most time.Duration
}

// Register implements app.Service: a gateway has no gRPC of its own.
func (*door) Register(grpc.ServiceRegistrar) {}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), d.most)
	defer cancel()
	text, err := d.open(ctx, r.Header.Get("X-Request-Id"), strings.Split(strings.Trim(r.URL.Path, "/"), "/"))
	if err != nil {
		transcode.WriteError(w, r, err)
		return
	}
	fmt.Fprintln(w, text)
}

// A Peer is a role as another one sees it. It may be used from many goroutines.
type Peer struct {
	role string
	conn *grpc.ClientConn
}

// Dial returns a role for another one to ask.
func Dial(env *app.Env, role string) (Peer, error) {
	conn, err := env.Dial(role)
	return Peer{role, conn}, err
}

// Ask calls a method of the role, once.
func (p Peer) Ask(ctx context.Context, method string, words ...string) (string, error) {
	reply := new(wrapperspb.StringValue)
	err := p.conn.Invoke(ctx, Full(p.role, method), wrapperspb.String(strings.Join(words, " ")), reply)
	return reply.GetValue(), err
}
