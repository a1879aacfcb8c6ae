// Package transcode puts HTTP and JSON in front of gRPC.
//
// The routes come from the google.api.http rules in the protos. A request is
// taken strictly: what nobody would read, an unknown field or parameter, a
// second document, another media type, is refused by name, because whoever sent
// it meant something by it. Errors are those of AIP-193. A server stream is
// newline-delimited JSON or, where the client accepts text/event-stream,
// server-sent events.
package transcode

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"example.com/app/platform/transcode/route"
)

// Routes are the HTTP routes of one role.
type Routes struct {
	// Name is the role, as errors name it.
	Name string
	// Register adds the routes: the generated Register…Handler of the role's
	// service. Nil: it has none.
	Register func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error
	// Conn reaches the role. It stays the caller's, who closes it after the
	// last request.
	Conn *grpc.ClientConn
}

// A Config sets limits. The zero value is the default.
type Config struct {
	MaxBody    int64         // bytes of a request body; 0 means 1 MiB
	Timeout    time.Duration // of a unary call without Grpc-Timeout; 0 means 30 s
	MaxTimeout time.Duration // the most that Grpc-Timeout gives a unary call; 0 means 2 minutes
	KeepAlive  time.Duration // between comments on an event stream; 0 means 15 s
	MaxHint    int           // bytes of a header that is handed on and that a call can do without: longer ones are left out; 0 means 4 KiB
	NewID      func() string // makes a request id, called from many goroutines; nil means at random

	// Admit decides whether a request may call the method of its route, before
	// its body is read. The context that it returns is the request's from then
	// on. It is called from many goroutines. Nil: every request may.
	Admit func(r *http.Request, method protoreflect.MethodDescriptor) (context.Context, error)
}

// New is a handler for the routes of all roles. It may be called from many
// goroutines. Later routes win where two match. It answers every path: what
// has no route is NOT_FOUND.
func New(ctx context.Context, cfg Config, routes ...Routes) (http.Handler, error) {
	table, err := route.Table(protoregistry.GlobalFiles)
	if err != nil {
		return nil, err
	}
	h := &handler{cfg: cfg.withDefaults(), routes: table}
	json := newCodec()
	h.mux = runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, json),
		runtime.WithMiddlewares(h.around),
		runtime.WithErrorHandler(h.fail),
		runtime.WithRoutingErrorHandler(h.unrouted),
		runtime.WithStreamErrorHandler(streamStatus),
		runtime.WithIncomingHeaderMatcher(incoming),
		runtime.WithMetadata(client),
		runtime.WithOutgoingHeaderMatcher(nothing),
		runtime.WithOutgoingTrailerMatcher(nothing),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableChunkedEncoding(),
		runtime.WithWriteContentLength(),
	)
	for _, r := range routes {
		if r.Register == nil {
			continue
		}
		if err := r.Register(ctx, h.mux, r.Conn); err != nil {
			return nil, fmt.Errorf("register the routes of %s: %w", r.Name, err)
		}
	}
	return h, nil
}

func (c Config) withDefaults() Config {
	if c.MaxBody == 0 {
		c.MaxBody = 1 << 20
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.MaxTimeout == 0 {
		c.MaxTimeout = 2 * time.Minute
	}
	if c.KeepAlive == 0 {
		c.KeepAlive = 15 * time.Second
	}
	if c.MaxHint == 0 {
		c.MaxHint = 4 << 10
	}
	if c.NewID == nil {
		c.NewID = rand.Text
	}
	return c
}

// incoming lists the headers that become metadata. The gateway adds
// authorization, x-forwarded-for and x-forwarded-host by itself.
func incoming(header string) (string, bool) {
	switch header {
	case "X-Request-Id":
		return "x-request-id", true
	case "Traceparent":
		return "traceparent", true
	case "Tracestate":
		return "tracestate", true
	case "Accept-Language":
		return "accept-language", true
	}
	return "", false
}

// client tells a service on whose behalf it is called, so that one who sends far
// too many requests does not use up the share of all who come through the same
// gateway. Priorities are not let in: everybody would be critical.
func client(_ context.Context, r *http.Request) metadata.MD {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return nil
	}
	return metadata.Pairs("x-client", host)
}

// nothing keeps the metadata of answers inside.
func nothing(string) (string, bool) { return "", false }
