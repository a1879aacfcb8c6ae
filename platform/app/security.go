package app

import (
	"context"
	"iter"
	"log/slog"
	"net/http"
	"sync/atomic"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/reflect/protoregistry"

	"example.com/app/platform/auth"
	"example.com/app/platform/auth/rule"
	"example.com/app/platform/auth/token"
	"example.com/app/platform/errs"
	"example.com/app/platform/identity"
	"example.com/app/platform/identity/intention"
	"example.com/app/platform/rpc"
	"example.com/app/platform/telemetry"
	"example.com/app/platform/telemetry/audit"
)

// A Security says how the roles of a node prove who they are, and whom they
// answer. Zero values are the defaults: certificates from a CA in memory, calls
// between roles as the roles say, tokens of the system's own issuer.
type Security struct {
	// Insecure switches all of it off: no certificates, no tokens, no rules. It
	// is for tests.
	Insecure bool

	// Identity hands out certificates. Nil: a CA of this node alone.
	Identity identity.Source

	// Intentions says who may call whom. Where they say nothing, or are nil, it
	// is as the roles say (Role.Callers). An instance serves nobody before it could
	// read them: one of them may be a no.
	Intentions intention.Rules

	PublicURL string // of the gateway, as a browser sees it; empty means "http://localhost" and the port of HTTP
	Issuer    string // of access tokens, an https URL (http on this machine) reached by TCP; empty: the role "issuer", under PublicURL
	Audience  string // that a token must name; empty means "app"

	// IssuerDir is where the role issuer keeps its keys, clients and users; empty:
	// in memory.
	IssuerDir string

	// Clients are known to the role issuer beside those in IssuerDir.
	Clients []Client
}

// A Client is a program that the role issuer gives tokens to, for what it does
// itself (client credentials, RFC 6749 section 4.4).
type Client struct {
	ID     string
	Secret telemetry.Secret
	Scopes []string // that it may ask for, and gets where it asks for none
}

// An Issuer is who makes the system's access tokens.
type Issuer struct {
	URL       string // its identifier, the iss of tokens
	Audience  string // the aud of tokens for this system
	PublicURL string // of the gateway, as a browser sees it

	// Dir is where the role issuer keeps its keys, clients and users; empty: in
	// memory.
	Dir string

	// Clients are known to the role issuer beside those in Dir.
	Clients []Client

	// Client reaches URL: the role issuer through the registry, or a foreign
	// issuer over TCP.
	Client *http.Client
}

// A guard is what an instance knows of who may call it. It is made for each
// instance, insecure or not, and decides from what it holds in memory.
type guard struct {
	in       *instance
	workload *identity.Workload // nil: insecure
	keys     *token.KeySet
	verifier auth.Verifier
	rules    rule.Table
	audit    *audit.Log
	table    atomic.Pointer[intention.Table] // nil: nothing is known yet
	unread   atomic.Pointer[error]           // why the table can't be read; nil: it was not tried, or can
}

// newGuard makes the instance's guard. It knows no method yet.
func (in *instance) newGuard(issuer Issuer) (*guard, error) {
	g := &guard{in: in}
	cfg := in.node.cfg.Security
	if cfg.Insecure {
		return g, nil
	}
	g.workload = identity.NewWorkload(identity.WorkloadConfig{Role: in.role.Name, Source: cfg.Identity, Log: in.env.Log, Metrics: in.env.Metrics, Now: in.node.cfg.Now})
	g.keys = token.NewKeySet(token.KeySetConfig{Fetch: token.Discover(issuer.Client, issuer.URL), Name: in.env.Instance, Log: in.env.Log})
	var err error
	if g.audit, err = audit.New(audit.Config{Log: in.env.Log, Metrics: in.env.Metrics}); err != nil {
		return nil, err
	}
	verifier, err := token.New(token.Config{
		Issuer: issuer.URL, Audience: issuer.Audience, Keys: g.keys, Now: in.node.cfg.Now, Metrics: in.env.Metrics,
	})
	g.verifier = verifier
	return g, err
}

// know reads the rules of the methods that the instance answers. It fails where
// one has none, also where nothing is enforced: what can't be deployed shall
// not run on a desk either.
func (g *guard) know(methods []string) error {
	var err error
	g.rules, err = rule.Read(protoregistry.GlobalFiles, methods, g.in.role.Rules)
	return err
}

// run keeps what the guard holds up to date until ctx ends.
func (g *guard) run(ctx context.Context, task func(string, func() error)) {
	if g.workload == nil {
		return
	}
	task("hold a certificate", func() error { return g.workload.Run(ctx) })
	if g.in.asksIssuer() {
		task("hold the issuer's keys", func() error {
			if until(ctx, g.workload.Ready, func(error) {}) { // the issuer wants to see a certificate
				return g.keys.Run(ctx)
			}
			return nil
		})
	}
	if rules := g.in.node.cfg.Security.Intentions; rules != nil {
		task("hold intentions", func() error { return g.follow(rules.Watch(ctx, g.in.role.Name)) })
	}
}

// follow takes over intentions as they change. An error leaves what is known
// as it is.
func (g *guard) follow(tables iter.Seq2[intention.Table, error]) error {
	var away bool // so that each change is logged once
	for table, err := range tables {
		if err != nil {
			if !away {
				g.in.env.Log.Warn("intentions can't be read, keeping those known", slog.Any("error", err))
			}
			away = true
			g.unread.Store(&err)
			continue
		}
		away = false
		g.table.Store(&table)
		g.unread.Store(nil)
	}
	return nil
}

// ready says why the instance can't prove who it is yet, or can't tell who may
// call it; nil: it can.
func (g *guard) ready() error {
	if g.workload == nil {
		return nil
	}
	if err := g.workload.Ready(); err != nil {
		return err
	}
	return g.knowsIntentions()
}

// knowsIntentions says why the intentions are not known yet; nil: they are, or
// there are none.
func (g *guard) knowsIntentions() error {
	if g.in.node.cfg.Security.Intentions == nil || g.table.Load() != nil {
		return nil
	}
	err := errs.Unavailable.New("the intentions are not known yet")
	if why := g.unread.Load(); why != nil {
		err = errs.Unavailable.New("%w: %w", err, *why)
	}
	return err.Because("INTENTIONS_UNKNOWN")
}

// waitKeys returns when the keys of the issuer are known, where any are needed,
// or with the reason why they were not before ctx ended.
func (g *guard) waitKeys(ctx context.Context) error {
	if !g.in.asksIssuer() {
		return nil
	}
	if until(ctx, g.keys.Ready, func(error) {}) {
		return nil
	}
	return g.keys.Ready()
}

// Admit implements rpc.Guard: may this workload call the instance, may it call
// this method, and may the bearer of this token.
func (g *guard) Admit(ctx context.Context, method string) (context.Context, error) {
	if g.workload == nil {
		return ctx, nil
	}
	peer, _ := identity.Peer(ctx)
	err := g.admitPeer(peer.Role())
	r, ok := g.rules[method]
	switch {
	case err != nil:
	case !ok:
		err = errs.Denied.New("%s has no rule", method).Because("RULE_MISSING")
	default:
		err = r.CheckPeer(method, peer.Role())
	}
	if err == nil {
		ctx, err = g.caller(ctx, r, method, metadata.ValueFromIncomingContext(ctx, rpc.Authorization))
	}
	if err != nil {
		d := audit.Denial{Method: method, Peer: peer.String()}
		if id := metadata.ValueFromIncomingContext(ctx, rpc.RequestID); len(id) > 0 {
			d.RequestID = id[0]
		}
		g.denied(ctx, d, err)
	}
	return ctx, err
}

// caller checks the token of a call, where the rule of its method wants one.
func (g *guard) caller(ctx context.Context, r rule.Rule, method string, authorization []string) (context.Context, error) {
	if !r.NeedsToken() {
		return ctx, nil
	}
	var who *auth.Principal
	if len(authorization) > 0 {
		bearer, err := auth.Bearer(authorization)
		if err == nil {
			who, err = g.verifier.Verify(ctx, bearer)
		}
		if err != nil {
			return ctx, err
		}
		ctx = auth.With(ctx, who)
	}
	return ctx, r.CheckCaller(method, who)
}

// admitPeer asks the intentions whether a workload of this role may call the
// instance, and the role itself where they say nothing.
func (g *guard) admitPeer(peer string) error {
	if g.knowsIntentions() != nil {
		return errs.Unavailable.New("the intentions are not known yet").Because("INTENTIONS_UNKNOWN") // why is in the log
	}
	verdict := intention.Unsaid
	if table := g.table.Load(); table != nil {
		verdict = table.Decide(peer, g.in.role.Name)
	}
	if verdict == intention.Unsaid && calls(g.in.role.Callers, peer) {
		verdict = intention.Allowed
	}
	if verdict == intention.Allowed {
		return nil
	}
	return errs.Denied.New("%s may not call %s", orNobody(peer), g.in.role.Name).Because("INTENTION_DENIED", "source", peer, "destination", g.in.role.Name)
}

// calls says whether a role is among those that may call.
func calls(callers []string, peer string) bool {
	for _, c := range callers {
		if c == "*" || c == peer {
			return peer != ""
		}
	}
	return false
}

func orNobody(peer string) string {
	if peer == "" {
		return "a workload without a certificate"
	}
	return peer
}

// denied tells the audit log of a call that was refused.
func (g *guard) denied(ctx context.Context, d audit.Denial, err error) {
	d.Reason, d.Kind = auth.Reason(err), errs.Of(err)
	if who := auth.From(ctx); who != nil {
		d.Subject, d.Client = who.Subject, who.Client
	}
	g.audit.Denied(ctx, d)
}
