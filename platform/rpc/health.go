package rpc

import (
	"context"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"example.com/app/platform/rpc/internal/loadpb"
)

// A healthServer is gRPC's own (grpc.health.v1) whose watches end with the
// server: one open watch would make a graceful stop use its whole grace.
type healthServer struct {
	*health.Server
	ended context.Context //nolint:containedctx // the life of the watches, not of a call
	end   context.CancelFunc

	mu     sync.Mutex
	names  []string
	status grpc_health_v1.HealthCheckResponse_ServingStatus
}

func newHealth() *healthServer {
	h := &healthServer{Server: health.NewServer()}
	h.ended, h.end = context.WithCancel(context.Background())
	h.know("")
	h.set(false)
	return h
}

// know makes services known, in the status of the server.
func (h *healthServer) know(services ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names = append(h.names, services...)
	for _, name := range services {
		h.SetServingStatus(name, h.status)
	}
}

// set changes the status of the server and of all its services.
func (h *healthServer) set(serving bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = grpc_health_v1.HealthCheckResponse_NOT_SERVING
	if serving {
		h.status = grpc_health_v1.HealthCheckResponse_SERVING
	}
	for _, name := range h.names {
		h.SetServingStatus(name, h.status)
	}
}

// List is refused: it would tell strangers what is served here.
func (*healthServer) List(context.Context, *grpc_health_v1.HealthListRequest) (*grpc_health_v1.HealthListResponse, error) {
	return nil, status.Error(codes.Unimplemented, "ask for a service by its name")
}

// Watch is gRPC's, until the server stops.
func (h *healthServer) Watch(req *grpc_health_v1.HealthCheckRequest, stream grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	defer context.AfterFunc(h.ended, cancel)()
	err := h.Server.Watch(req, watchStream{stream, ctx})
	if h.ended.Err() != nil {
		return status.Error(codes.Unavailable, "the server is stopping")
	}
	return err
}

type watchStream struct {
	grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]
	ctx context.Context //nolint:containedctx // that of the stream, shortened
}

func (s watchStream) Context() context.Context { return s.ctx }

// services lists the registered services but those of the platform itself,
// sorted.
func services(s *grpc.Server) []string {
	var names []string
	for name := range s.GetServiceInfo() {
		if name != grpc_health_v1.Health_ServiceDesc.ServiceName && name != loadpb.Load_ServiceDesc.ServiceName {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// requests lists the request messages of the registered services whose
// descriptors are linked.
func requests(s *grpc.Server) []protoreflect.MessageDescriptor {
	var out []protoreflect.MessageDescriptor
	for _, name := range services(s) {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			continue // a service that was not made from a proto: its messages have no rules
		}
		methods := d.(protoreflect.ServiceDescriptor).Methods()
		for i := range methods.Len() {
			out = append(out, methods.Get(i).Input())
		}
	}
	return out
}
