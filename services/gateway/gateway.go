// Package gateway is the way in from outside: it answers HTTP/JSON with the
// gRPC services of the system, and hands prefixes of its address space on to
// HTTP services of the registry. Who may do what is asked here already, by the
// rule of the method that a request matched or of the route, and asked again by
// whoever answers.
package gateway

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"example.com/app/platform/app"
	"example.com/app/platform/auth/rule"
	"example.com/app/platform/edge"
	"example.com/app/platform/errs"
	"example.com/app/platform/proxy"
	"example.com/app/platform/session"
	"example.com/app/platform/transcode"
	"example.com/app/platform/transcode/openapi"
	"example.com/app/platform/transcode/route"
)

// Role is the way in.
var Role = app.Role{
	Name: "gateway",
	Doc:  "answers HTTP/JSON for every role that has routes, and proxies to HTTP services",
	Edge: true,
	New:  New,
}

type gateway struct {
	env   *app.Env
	rules rule.Table
	mux   *http.ServeMux
	proxy *proxy.Proxy
	door  http.Handler // where requests come in
}

// New builds a gateway for all roles of the system that have routes. It knows
// none of them by name.
func New(env *app.Env) (app.Service, error) {
	g := &gateway{env: env, mux: http.NewServeMux()}
	var routes []transcode.Routes
	var documents [][]byte
	dialled, extra := make(map[string]bool), make(rule.Table)
	for _, role := range env.Roles {
		if role.HTTP == nil {
			continue
		}
		conn, err := env.Dial(role.Name)
		if err != nil {
			return nil, err
		}
		dialled[role.Name] = true
		maps.Copy(extra, role.Rules)
		routes = append(routes, transcode.Routes{Name: role.Name, Register: role.HTTP, Conn: conn})
		if len(role.OpenAPI) > 0 {
			documents = append(documents, role.OpenAPI)
		}
	}
	if err := g.know(extra); err != nil {
		return nil, err
	}
	api, err := transcode.New(context.Background(), transcode.Config{Admit: g.admit}, routes...)
	if err != nil {
		return nil, err
	}
	if err := g.describe(documents); err != nil {
		return nil, err
	}
	g.mux.Handle("/", api)
	if err := g.forward(dialled); err != nil {
		return nil, err
	}
	return g, g.open()
}

// open puts in front what every request meets first: the edge's limits and
// headers, then the session that a browser may have.
func (g *gateway) open() error {
	gate, inner := g.env.Gate, http.Handler(http.HandlerFunc(g.answer))
	if g.env.Secure() {
		var except []string
		for _, role := range g.env.Roles {
			except = append(except, role.Paths...)
		}
		sessions, err := session.New(session.Config{
			Issuer: g.env.Issuer.URL, ClientID: cmp.Or(gate.ClientID, "gateway"), ClientSecret: gate.ClientSecret,
			RedirectURL: g.env.Issuer.PublicURL + "/auth/callback", Scopes: append([]string{"profile"}, rule.Scopes(protoregistry.GlobalFiles)...),
			Client: g.env.Issuer.Client, Key: []byte(gate.SessionKey), Except: except, Log: g.env.Log, Now: g.env.Now,
		})
		if err != nil {
			return err
		}
		inner = sessions.Handler(inner)
	}
	var err error
	g.door, err = edge.New(edge.Config{
		Rate: gate.Rate, Routes: gate.Rates, Origins: gate.Origins, Proxies: gate.Proxies, Now: g.env.Now,
		Refused: func(r edge.Refusal) { g.env.Refused(r.Request, r.Err) },
	}, inner)
	return err
}

// know reads the rules of all methods that have a route.
func (g *gateway) know(extra rule.Table) error {
	table, err := route.Table(protoregistry.GlobalFiles)
	if err != nil {
		return err
	}
	methods := make(map[string]bool)
	for _, r := range table {
		methods[name(r.Method)] = true
	}
	list := make([]string, 0, len(methods))
	for method := range methods {
		list = append(list, method)
	}
	g.rules, err = rule.Read(protoregistry.GlobalFiles, list, extra)
	return err
}

// name is a method as gRPC calls it.
func name(m protoreflect.MethodDescriptor) string {
	return "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
}

// admit asks the rule of the method that a request matched.
func (g *gateway) admit(r *http.Request, method protoreflect.MethodDescriptor) (context.Context, error) {
	m := name(method)
	return g.env.Authorize(r.Context(), g.rules[m], m, r.Header["Authorization"])
}

// describe serves the description of the API.
func (g *gateway) describe(documents [][]byte) error {
	document, err := openapi.Document(openapi.Info{Title: "app", Version: g.env.Version, Issuer: g.env.Issuer.URL}, documents...)
	if err != nil {
		return fmt.Errorf("describe the API: %w", err)
	}
	spec, err := openapi.Spec(document)
	if err != nil {
		return err
	}
	docs, err := openapi.Docs("/openapi.json")
	if err != nil {
		return err
	}
	g.mux.Handle("GET /{$}", http.RedirectHandler("/docs", http.StatusFound))
	g.mux.Handle("/openapi.json", spec)
	g.mux.Handle("/docs", docs)
	g.mux.Handle("/docs/", docs)
	return nil
}

// forward makes the proxy for the routes that the operator named, and for those
// of the system's own roles.
func (g *gateway) forward(dialled map[string]bool) error {
	routes := slices.Clone(g.env.Routes)
	for _, r := range routes {
		if dialled[r.Service] {
			return errs.Invalid.New("route %s: %s speaks gRPC and has its own paths at the gateway", r, r.Service)
		}
	}
	for _, role := range g.env.Roles {
		for _, path := range role.Paths {
			routes = append(routes, proxy.Route{Prefix: path, Service: role.Name, Whole: true, Public: true})
		}
	}
	var err error
	g.proxy, err = proxy.New(proxy.Config{
		Registry: g.env.Registry, Network: g.env.Network, Log: g.env.Log, Metrics: g.env.Metrics, Error: transcode.WriteError,
		NewBalancer: g.env.Balancer, HashHeader: g.env.HashHeader, TLS: g.env.TLS,
	}, routes)
	return err
}

// Register adds nothing: the gateway speaks HTTP.
func (*gateway) Register(grpc.ServiceRegistrar) {}

// Run follows the services behind the proxied prefixes until ctx ends.
func (g *gateway) Run(ctx context.Context) error { return g.proxy.Run(ctx) }

// ServeHTTP answers one request.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.door.ServeHTTP(w, r) }

// answer answers a request that the edge let in. A prefix that is proxied comes first. The
// path is looked at as it is, before http.ServeMux would redirect to a cleaner
// one: a proxied path that is not clean is refused.
func (g *gateway) answer(w http.ResponseWriter, r *http.Request) {
	found, ok := g.proxy.Route(r.URL.Path)
	if !ok {
		g.mux.ServeHTTP(w, r)
		return
	}
	access := rule.Rule{Public: found.Public, Token: !found.Public, Scopes: found.Scopes}
	if _, err := g.env.Authorize(r.Context(), access, found.Prefix, r.Header["Authorization"]); err != nil {
		transcode.WriteError(w, r, err)
		return
	}
	g.proxy.ServeHTTP(w, r)
}
