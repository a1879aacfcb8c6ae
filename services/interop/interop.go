// Package interop serves gRPC's own test service, grpc.testing.TestService,
// through the platform, so that gRPC's interop client can be run against it
// (https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md).
package interop

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/interop"
	"google.golang.org/grpc/interop/grpc_testing"

	"example.com/app/platform/app"
	"example.com/app/platform/auth/rule"
)

// Role serves the test service. It is no part of the system.
var Role = app.Role{
	Name:    "interop",
	Doc:     "gRPC's own interoperability test service",
	Extra:   true,
	Rules:   rule.Table{"/grpc.testing.TestService/": {Public: true}},
	Callers: []string{"*"},
	New:     func(*app.Env) (app.Service, error) { return service{}, nil },
}

type service struct{}

// Register adds the test service to a server.
func (service) Register(s grpc.ServiceRegistrar) {
	grpc_testing.RegisterTestServiceServer(s, interop.NewTestServer())
}
