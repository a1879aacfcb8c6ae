// Package rpc makes the gRPC servers and clients of the platform: servers that
// check, measure and bound every call, and clients that follow the registry.
//
// A call costs the same checks over TCP and in memory; nothing is bypassed.
package rpc

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"buf.build/go/protovalidate"
	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"example.com/app/platform/resilience"
	"example.com/app/platform/rpc/internal/loadpb"
)

// A ServerConfig sets the limits of a server. Zero values are the defaults.
type ServerConfig struct {
	Role    string                      // whose server it is; clients of others send no calls here. Empty: only those that ask for nobody do
	Log     *slog.Logger                // nil: nothing is logged
	Metrics *grpcprom.ServerMetrics     // nil: none
	Observe func(Call)                  // hears of every call that ended; nil: nobody listens
	Around  grpc.UnaryServerInterceptor // stands between a call that was let in and its handler; nil: nothing does
	Workers *resilience.Workers         // models and bounds the work; nil: none
	Limiter *resilience.Limiter         // bounds the calls at a time, in front of Workers; nil: one of its own
	Methods Methods                     // how much the calls of single methods matter and weigh

	Credentials credentials.TransportCredentials // of connections; nil: plain text
	Guard       Guard                            // decides who may call; nil: everybody

	MaxStreams  uint32        // concurrent calls per connection; 0 means 1000
	MaxMessage  int           // bytes received per message; 0 means 4 MiB
	MaxHeaders  uint32        // bytes of metadata per call; 0 means 64 KiB
	Handshake   time.Duration // for a new connection to become usable; 0 means 10 s
	MaxAge      time.Duration // of a connection, so that load spreads to new instances; 0 means 30 min
	MaxAgeGrace time.Duration // for the calls of a connection that is over age; 0 means 5 min
}

func (c ServerConfig) withDefaults() ServerConfig {
	c.MaxStreams = cmp.Or(c.MaxStreams, 1000)
	c.MaxMessage = cmp.Or(c.MaxMessage, 4<<20)
	c.MaxHeaders = cmp.Or(c.MaxHeaders, 64<<10)
	c.Handshake = cmp.Or(c.Handshake, 10*time.Second)
	c.MaxAge = cmp.Or(c.MaxAge, 30*time.Minute)
	c.MaxAgeGrace = cmp.Or(c.MaxAgeGrace, 5*time.Minute)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Credentials == nil {
		c.Credentials = insecure.NewCredentials()
	}
	if c.Guard == nil {
		c.Guard = open{}
	}
	return c
}

// A Call is one that has ended.
type Call struct {
	Method   string // as in "/greeter.v1.Greeter/SayHello"
	Code     codes.Code
	Duration time.Duration
	ID       string // of the request that it is part of, as in RequestID; may be empty
	Peer     string // address of who called
}

// A Server answers gRPC calls. Services are registered before Serve.
type Server struct {
	grpc     *grpc.Server
	health   *healthServer
	load     load
	admit    admission
	cfg      ServerConfig
	validate protovalidate.Validator
	inFlight atomic.Int64

	mu      sync.Mutex
	lobbies []*lobby // of the listeners being served
}

// NewServer returns a server whose health says NOT_SERVING.
func NewServer(cfg ServerConfig) *Server {
	s := &Server{cfg: cfg.withDefaults(), health: newHealth()}
	s.load.began = time.Now()
	s.admit = newAdmission(s.cfg)
	unary := []grpc.UnaryServerInterceptor{s.load.unary}
	stream := []grpc.StreamServerInterceptor{s.load.stream}
	if m := s.cfg.Metrics; m != nil {
		unary = append(unary, m.UnaryServerInterceptor())
		stream = append(stream, m.StreamServerInterceptor())
	}
	s.grpc = grpc.NewServer(
		grpc.Creds(s.cfg.Credentials),
		grpc.ChainUnaryInterceptor(append(unary, s.unary)...),
		grpc.ChainStreamInterceptor(append(stream, s.stream)...),
		grpc.MaxConcurrentStreams(s.cfg.MaxStreams),
		grpc.MaxRecvMsgSize(s.cfg.MaxMessage),
		grpc.MaxHeaderListSize(s.cfg.MaxHeaders),
		grpc.NumStreamWorkers(handlers),
		grpc.ConnectionTimeout(s.cfg.Handshake),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: 30 * time.Second, Timeout: 10 * time.Second,
			MaxConnectionAge: s.cfg.MaxAge, MaxConnectionAgeGrace: s.cfg.MaxAgeGrace,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	)
	if s.cfg.Role != "" {
		s.health.know(s.cfg.Role)
	}
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	loadpb.RegisterLoadServer(s.grpc, &s.load)
	return s
}

// RegisterService adds a service (grpc.ServiceRegistrar).
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	s.admit.know(desc, s.cfg.Methods)
	s.grpc.RegisterService(desc, impl)
}

// Services lists the full names of what has been registered, health and load
// apart.
func (s *Server) Services() []string { return services(s.grpc) }

// Methods lists what has been registered as "/pkg.Service/Method", sorted:
// whatever a Guard is asked about.
func (s *Server) Methods() []string {
	var all []string
	for service, info := range s.grpc.GetServiceInfo() {
		for _, m := range info.Methods {
			if name := "/" + service + "/" + m.Name; !strings.HasPrefix(name, healthPrefix) {
				all = append(all, name)
			}
		}
	}
	slices.Sort(all)
	return all
}

// Serve answers calls on ln until Stop. The rules of every request message are
// compiled first, so that no call pays for it.
func (s *Server) Serve(ln net.Listener) error {
	var err error
	if s.validate, err = protovalidate.New(protovalidate.WithMessageDescriptors(requests(s.grpc)...)); err != nil {
		return fmt.Errorf("compile validation rules: %w", err)
	}
	s.health.know(s.Services()...)
	if err := s.grpc.Serve(s.enter(ln)); err != nil {
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	}
	return nil
}

// enter is ln with a lobby, which Stop clears.
func (s *Server) enter(ln net.Listener) net.Listener {
	l := &lobby{Listener: ln}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lobbies = append(s.lobbies, l)
	return l
}

func (s *Server) clearLobbies() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lobbies {
		l.clear()
	}
}

// SetServing tells callers, by the health service, whether to send calls here.
// Calls are answered either way.
func (s *Server) SetServing(serving bool) { s.health.set(serving) }

// InFlight is the number of calls that are being answered, health apart.
func (s *Server) InFlight() int { return int(s.inFlight.Load()) }

// handlers is the number of goroutines kept for calls. Their stacks have grown
// already: growing one for each call costs more than all our checks. Calls
// beyond them get a goroutine of their own.
const handlers = 16

// heed is how long a handler has to notice that its call was cut. One that
// never notices must not keep the process from ending.
const heed = time.Second

// Stop takes no new calls, lets those in flight end, and cuts what is left
// when ctx ends. It returns the number of calls that were cut. Their handlers
// have ended by then, but for those that do not heed their context.
func (s *Server) Stop(ctx context.Context) int {
	s.health.end()
	ended := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(ended)
	}()
	s.clearLobbies()
	cut := 0
	select {
	case <-ended:
	case <-ctx.Done():
		cut = s.InFlight()
		s.grpc.Stop()
		patience := time.NewTimer(heed)
		defer patience.Stop()
		select {
		case <-ended:
		case <-patience.C:
		}
	}
	return cut
}
