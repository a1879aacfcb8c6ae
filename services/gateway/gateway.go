// Package gateway is the way in from outside: it answers HTTP/JSON with the
// gRPC services of the system, and hands prefixes of its address space on to
// HTTP services of the registry.
package gateway

import (
	"context"
	"fmt"
	"net/http"

	"google.golang.org/grpc"

	"example.com/app/platform/app"
	"example.com/app/platform/errs"
	"example.com/app/platform/proxy"
	"example.com/app/platform/transcode"
	"example.com/app/platform/transcode/openapi"
)

// Role is the way in.
var Role = app.Role{
	Name: "gateway",
	Doc:  "answers HTTP/JSON for every role that has routes, and proxies to HTTP services",
	New:  New,
}

type gateway struct {
	mux   *http.ServeMux
	proxy *proxy.Proxy
}

// New builds a gateway for all roles of the system that have routes. It knows
// none of them by name.
func New(env *app.Env) (app.Service, error) {
	var routes []transcode.Routes
	var documents [][]byte
	dialled := make(map[string]bool)
	for _, role := range env.Roles {
		if role.HTTP == nil {
			continue
		}
		conn, err := env.Dial(role.Name)
		if err != nil {
			return nil, err
		}
		dialled[role.Name] = true
		routes = append(routes, transcode.Routes{Name: role.Name, Register: role.HTTP, Conn: conn})
		if len(role.OpenAPI) > 0 {
			documents = append(documents, role.OpenAPI)
		}
	}
	api, err := transcode.New(context.Background(), transcode.Config{}, routes...)
	if err != nil {
		return nil, err
	}
	document, err := openapi.Document(openapi.Info{Title: "app", Version: env.Version}, documents...)
	if err != nil {
		return nil, fmt.Errorf("describe the API: %w", err)
	}
	for _, r := range env.Routes {
		if dialled[r.Service] {
			return nil, errs.Invalid.New("route %s: %s speaks gRPC and has its own paths at the gateway", r, r.Service)
		}
	}
	back, err := proxy.New(proxy.Config{
		Registry: env.Registry, Network: env.Network, Log: env.Log, Metrics: env.Metrics, Error: transcode.WriteError,
		NewBalancer: env.Balancer, HashHeader: env.HashHeader,
	}, env.Routes)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", api)
	mux.Handle("GET /{$}", http.RedirectHandler("/docs", http.StatusFound))
	spec, err := openapi.Spec(document)
	if err != nil {
		return nil, err
	}
	docs, err := openapi.Docs("/openapi.json")
	if err != nil {
		return nil, err
	}
	mux.Handle("/openapi.json", spec)
	mux.Handle("/docs", docs)
	mux.Handle("/docs/", docs)
	return &gateway{mux: mux, proxy: back}, nil
}

// Register adds nothing: the gateway speaks HTTP.
func (*gateway) Register(grpc.ServiceRegistrar) {}

// Run follows the services behind the proxied prefixes until ctx ends.
func (g *gateway) Run(ctx context.Context) error { return g.proxy.Run(ctx) }

// ServeHTTP answers one request. A prefix that is proxied comes first. The
// path is looked at as it is, before http.ServeMux would redirect to a cleaner
// one: a proxied path that is not clean is refused.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.proxy.Handles(r.URL.Path) {
		g.proxy.ServeHTTP(w, r)
		return
	}
	g.mux.ServeHTTP(w, r)
}
