// Package app runs roles: one, some or all of a system's, in one process, on
// whatever ground they are given.
//
//	Role    what a service is called and how it is built
//	Env     what a role gets from the platform
//	Fabric  the registry and the network it stands on
//	Node    the value that runs instances of roles until told to stop
//
// The code of a role cannot tell one fabric from another. That is the one rule.
package app

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"example.com/app/platform/auth/rule"
	"example.com/app/platform/balance"
	"example.com/app/platform/network"
	"example.com/app/platform/proxy"
	"example.com/app/platform/registry"
	"example.com/app/platform/telemetry/audit"
)

// A Role is one service of the system: its name and how to build it.
type Role struct {
	Name     string // as in --role, in the registry, in its certificate and in logs
	Doc      string // what it does, in one line
	Replicas int    // instances where a whole system runs in one process; 0 means 1
	Extra    bool   // left out of --role=all
	Edge     bool   // an http.Handler that faces the outside: no client needs a certificate

	// Callers are the roles that may call it, where no intention says otherwise;
	// "*" is any role. None: nobody inside.
	Callers []string

	// Rules say who may call methods whose protos have no authz.v1.rule, by
	// "/pkg.Service/Method", or "/pkg.Service/" for the whole of a service.
	Rules rule.Table

	// Paths are the prefixes, as in "/shop", that the gateway hands on to the
	// role, where it is an http.Handler; it sees to itself who may do what there.
	Paths []string

	// New builds one instance. It may Dial other roles, and must not wait for
	// them.
	New func(*Env) (Service, error)

	// HTTP hands the role's routes to the gateway; nil: it has none. OpenAPI
	// describes them, as an OpenAPI 3 document in JSON.
	HTTP    func(ctx context.Context, mux *runtime.ServeMux, conn *grpc.ClientConn) error
	OpenAPI []byte

	// Load is what a simulated user asks the gateway for, as in
	// "GET /v1/greetings/Ada": requests that may be sent any number of times.
	Load []string
}

// A Service answers calls. It may also be a Runner, a Checker, or an
// http.Handler: then it is served over HTTP in place of gRPC, its HTTP address
// is the one the registry lists, and Register has nothing to add.
type Service interface{ Register(grpc.ServiceRegistrar) }

// A Runner has work of its own beside answering calls. Run blocks until ctx
// ends, which is after the last call was answered; an error stops the node.
type Runner interface {
	Run(ctx context.Context) error
}

// A Checker says whether it can answer calls. It is asked before the first one
// is let in and before every heartbeat, so it must not block. The error is the
// reason, for people to read.
type Checker interface{ Check() error }

// An Env is everything a role may use that is not its own.
type Env struct {
	Role     string // the role being built
	Instance string // its id in the registry
	Version  string // of the program
	Zone     string // failure domain; may be empty

	Log     *slog.Logger
	Metrics prometheus.Registerer // labelled with role and host already
	Now     func() time.Time      // for absolute times that cross hosts (tokens, leases), never for timers

	Registry registry.Registry
	Network  network.Network

	Issuer Issuer // of access tokens
	Gate   Gate   // how the system meets those who come from outside

	Roles  []Role        // the whole system's, for who serves them all
	Routes []proxy.Route // HTTP prefixes that belong to services of the registry

	host    string
	facts   func(Fact)
	clients *clients
	guard   *guard
}

// Fact states something that is true now, for the invariants of a simulation:
// that an effect has happened, and on what. It costs a comparison where nobody
// listens, as in production, and may be called from many goroutines.
func (e *Env) Fact(name, key, value string) {
	if e.facts != nil {
		e.facts(Fact{e.Role, e.host, name, key, value})
	}
}

// Dial returns the client of a role, the same one each time. It is made by the
// first call, follows the registry, and is closed after the instance's last
// call. A role that was dialled counts as needed: the instance waits for it,
// a while, before it says that it is ready.
func (e *Env) Dial(role string) (*grpc.ClientConn, error) { return e.clients.dial(role) }

// Balancer returns what shares the instance's calls to a service among the
// service's instances, the same one each time, for who calls it by other means
// than Dial, and not by Dial as well: one balancer hears of one kind of
// connection. It is closed after the instance's last call.
func (e *Env) Balancer(service string) *balance.Balancer {
	b, err := e.clients.balancers.of(service)
	if err != nil {
		panic(err) // New has parsed it
	}
	return b
}

// TLS is how the instance connects to a role that is an http.Handler behind the
// gateway: it shows its certificate, and wants to see the role's. Nil: the node
// is insecure, or the system has no such role.
func (e *Env) TLS(role string) *tls.Config {
	if e.guard.workload == nil || !slices.ContainsFunc(e.Roles, func(r Role) bool { return r.Name == role }) {
		return nil
	}
	return e.guard.workload.ClientTLS(role)
}

// Secure says whether anybody is asked who they are: the node is not insecure.
func (e *Env) Secure() bool { return e.guard.workload != nil }

// Refused tells the audit log of a request that was refused before its method
// was known.
func (e *Env) Refused(r *http.Request, err error) {
	if e.guard.audit != nil {
		e.guard.denied(r.Context(), audit.Denial{Method: r.Method, RequestID: r.Header.Get("X-Request-Id")}, err)
	}
}

// Authorize decides whether a request with these Authorization headers may call
// a method of another role, by the method's rule, before the call is made. It
// returns the context that knows the caller. Of the rule it knows what concerns
// the caller's token; what concerns peers is up to who answers. The other role
// checks again.
func (e *Env) Authorize(ctx context.Context, r rule.Rule, method string, authorization []string) (context.Context, error) {
	if e.guard.workload == nil {
		return ctx, nil
	}
	ctx, err := e.guard.caller(ctx, r, method, authorization)
	if err != nil {
		e.guard.denied(ctx, audit.Denial{Method: method}, err)
	}
	return ctx, err
}

// HashHeader is the header whose value keeps calls to a service together, where
// its balancer hashes; empty: none. Dial heeds it by itself.
func (e *Env) HashHeader(service string) string { return e.clients.balance(service).Header }

// A Fabric is the ground a system stands on. Each host has its own view of it,
// so that faults can fall between one pair of hosts and spare another. Host
// may be called from many goroutines; the same name gives views of one host.
type Fabric interface {
	Host(name string) (registry.Registry, network.Network)
}
