package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // client-side health checking is off without it (grpc-go#8590)
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/policy"
	"example.com/app/platform/errs"
	"example.com/app/platform/network"
	"example.com/app/platform/registry"
)

// RequestID is the metadata key of the id that follows a request from hop to
// hop.
const RequestID = "x-request-id"

// A ClientConfig says how to reach a role.
type ClientConfig struct {
	Role     string // whom to call
	Registry registry.Registry
	Network  network.Network
	Metrics  *grpcprom.ClientMetrics // nil: none
	Timeout  time.Duration           // deadline of a unary call that has none; 0 means 10 s

	Credentials credentials.TransportCredentials // of connections; nil: plain text

	// Balancer shares the calls among the role's instances; whoever made it
	// closes it. Nil: one is made as Balance says, and closed with the client.
	// There Role, Policy and Prober have defaults too.
	Balancer *balance.Balancer
	Balance  balance.Config

	// HashHeader is the metadata key whose value keeps calls together, where
	// they are shared by hash. Empty, or where a call has none: the request
	// field that the method's proto names decides (app.balance.v1.key).
	HashHeader string

	// Methods says how single methods are called, Margin how much time of the
	// call being served is kept back from those made for it: 0 means 5 ms, but
	// no more than a tenth of what is left; below 0: none.
	Methods Methods
	Margin  time.Duration

	Hedge        HedgeConfig   // of calls that take long
	HedgeMetrics *HedgeMetrics // nil: none

	// Failures are the codes that speak against the instance they came from.
	// Nil: UNAVAILABLE, UNKNOWN, INTERNAL, DATA_LOSS, DEADLINE_EXCEEDED and
	// RESOURCE_EXHAUSTED.
	Failures []codes.Code
}

// Dial returns a client of a role. It sends calls to the instances whose health
// service says that the role is served there, so that an address that another
// role has taken over gets none; among them a balance.Balancer picks. It follows
// the registry from its first call on, or from Connect. Calls fail fast while
// no instance is there, and say so. Close ends all that it started.
func Dial(cfg ClientConfig) (*grpc.ClientConn, error) {
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	if cfg.Credentials == nil {
		cfg.Credentials = insecure.NewCredentials()
	}
	config, err := cfg.defaultServiceConfig()
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", cfg.Role, err)
	}
	keys, err := keyFields(protoregistry.GlobalFiles)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", cfg.Role, err)
	}
	c := &client{
		role: cfg.Role, timeout: cfg.Timeout, margin: cfg.Margin, methods: cfg.Methods, hashHeader: cfg.HashHeader, keys: keys,
		follower: follower{registry: cfg.Registry, balancer: cfg.Balancer, failures: cfg.Failures},
	}
	if c.follower.balance, err = cfg.balance(); err != nil {
		return nil, fmt.Errorf("dial %s: %w", cfg.Role, err)
	}
	if cfg.Failures == nil {
		c.follower.failures = failures()
	}
	unary := []grpc.UnaryClientInterceptor{c.unary}
	stream := []grpc.StreamClientInterceptor{c.stream}
	if cfg.Metrics != nil {
		unary = append(unary, cfg.Metrics.UnaryClientInterceptor())
		stream = append(stream, cfg.Metrics.StreamClientInterceptor())
	}
	if h := newHedger(cfg, marked(protoregistry.GlobalFiles, descriptorpb.MethodOptions_NO_SIDE_EFFECTS)); h != nil {
		unary = append(unary, h.unary)
	}
	conn, err := grpc.NewClient(scheme+":///"+cfg.Role,
		grpc.WithResolvers(&c.follower),
		grpc.WithContextDialer(cfg.Network.Dial),
		grpc.WithNoProxy(),
		grpc.WithTransportCredentials(cfg.Credentials),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultServiceConfig(config),
		grpc.WithIdleTimeout(0),
		grpc.WithUserAgent("app"),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.5, MaxDelay: 3 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second, PermitWithoutStream: true}),
		grpc.WithChainUnaryInterceptor(unary...),
		grpc.WithChainStreamInterceptor(stream...),
	)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", cfg.Role, err)
	}
	return conn, nil
}

// balance is the config of the client's own balancer.
func (c ClientConfig) balance() (balance.Config, error) {
	b := c.Balance
	b.Role = cmp.Or(b.Role, c.Role)
	if b.Prober == nil {
		b.Prober = Prober{}
	}
	if b.Policy != nil {
		return b, nil
	}
	var err error
	b.Policy, err = policy.Parse("")
	return b, err
}

// WaitReady connects, and returns when an instance has been reached, or with
// the context's error.
func WaitReady(ctx context.Context, conn *grpc.ClientConn) error {
	for {
		state := conn.GetState()
		switch state {
		case connectivity.Ready:
			return nil
		case connectivity.Shutdown:
			return errors.New("the client is closed")
		case connectivity.Idle:
			conn.Connect()
		}
		if !conn.WaitForStateChange(ctx, state) {
			return ctx.Err()
		}
	}
}

// A client is what one Dial adds to gRPC's.
type client struct {
	role       string
	timeout    time.Duration
	margin     time.Duration
	methods    Methods
	hashHeader string
	keys       map[string]keyField // by full method name
	follower   follower
}

// unary bounds the time of a call, hands on what follows a request, tells the
// balancer what keeps calls together, and marks what came from further down.
func (c *client) unary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	ctx, cancel, err := c.within(ctx, method)
	if err != nil {
		return err
	}
	defer cancel()
	if key := c.key(ctx, method, req); key != 0 {
		ctx = (&about{key: key}).with(ctx)
	}
	return c.mark(invoke(handOn(ctx), method, req, reply, conn, opts...))
}

// stream is unary's twin. A stream may last: it has the deadline of its
// caller, or none.
func (c *client) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	ctx = (&about{long: true, key: c.key(ctx, method, nil)}).with(handOn(ctx))
	s, err := streamer(ctx, desc, conn, method, opts...)
	if err != nil {
		return nil, c.mark(err)
	}
	return markedStream{s, c}, nil
}

type markedStream struct {
	grpc.ClientStream
	client *client
}

// RecvMsg is gRPC's, its errors marked.
func (s markedStream) RecvMsg(m any) error { return s.client.mark(s.ClientStream.RecvMsg(m)) }

// Authorization is the metadata key of the caller's access token, as in "Bearer
// eyJ…" (RFC 6750 section 2.1).
const Authorization = "authorization"

// handOn copies what follows a request, if anything, from the call being served
// to the call being made: its id, on whose behalf it is, how much it matters,
// and the token of who began it, for every service to see for itself.
func handOn(ctx context.Context) context.Context {
	var pairs []string
	for _, key := range [...]string{RequestID, ClientID, Priority, Authorization} {
		value := metadata.ValueFromIncomingContext(ctx, key)
		if len(value) == 0 {
			continue
		}
		if out, ok := metadata.FromOutgoingContext(ctx); ok && len(out.Get(key)) > 0 {
			continue
		}
		pairs = append(pairs, key, value[0])
	}
	if pairs == nil {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}

// A downstream error is the UNAVAILABLE of a role that this process called. It
// was retried where it happened, so our own callers must not retry it again:
// three layers of four attempts would make 64.
type downstream struct {
	cause  error
	status *status.Status
}

// Error is the text of the status: a handler that wraps the error hands its
// text to the caller, and the cause must stay here.
func (d downstream) Error() string              { return d.status.Message() }
func (d downstream) Unwrap() error              { return d.cause }
func (d downstream) GRPCStatus() *status.Status { return d.status }

// mark makes a downstream error of UNAVAILABLE. Where gRPC itself made it, the
// text holds addresses and library words: they stay here, in what is wrapped,
// and the caller reads which role is missing.
func (c *client) mark(err error) error {
	if err == nil {
		return nil
	}
	st, ok := status.FromError(err)
	if !ok || st.Code() != codes.Unavailable {
		return err
	}
	if len(st.Details()) == 0 {
		what := "can't be reached just now"
		if c.follower.empty.Load() {
			what = "has no instance in the registry"
		}
		st = errs.Unavailable.New("%s %s", c.role, what).Because("ROLE_UNAVAILABLE", "role", c.role).GRPCStatus()
	}
	return downstream{err, st}
}
