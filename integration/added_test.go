package integration

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	"google.golang.org/grpc/interop/grpc_testing"

	"example.com/app/platform/app"
	"example.com/app/platform/auth/rule"
	"example.com/app/platform/command"
	"example.com/app/services"
	"example.com/app/services/phrasebook/phrasebookpb"
)

// added is a role that the system has never heard of. It answers calls with
// gRPC's test service, and lends the gateway the phrasebook's routes.
type added struct{}

func (added) Register(s grpc.ServiceRegistrar) {
	grpc_testing.RegisterTestServiceServer(s, interop.NewTestServer())
}

// TestAnAddedRoleNeedsALineAndNothingElse holds the promise of adding a
// service: one line in the list of roles, and it is started, found, watched
// over, described and called like the others.
func TestAnAddedRoleNeedsALineAndNothingElse(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		all := append(services.All[:len(services.All):len(services.All)], app.Role{
			Name: "added", Doc: "is new here", Callers: []string{"gateway"},
			Rules: rule.Table{"/grpc.testing.TestService/": {Token: true}},
			New: func(env *app.Env) (app.Service, error) {
				_, err := env.Dial("phrasebook")
				return added{}, err
			},
		})
		w.settings(func(c *app.Config) { c.Roles = all })
		w.start("phrasebook-1", "added-1")
		delete(w.idle, "phrasebook-1") // the new role needs it, and does not ask

		conn := w.dial("added")
		_, err := grpc_testing.NewTestServiceClient(conn).EmptyCall(t.Context(), &grpc_testing.Empty{})
		require.NoError(t, err, "found and called")
		health, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "grpc.testing.TestService"})
		require.NoError(t, err)
		require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, health.GetStatus(), "its service has a health")

		infos, err := app.Describe(all, "v1")
		require.NoError(t, err)
		info := infos[len(infos)-1]
		require.Equal(t, app.MethodInfo{Name: "grpc.testing.TestService/EmptyCall", Rule: "any token", Routes: []string{}}, info.Methods[1])
		info.Methods = nil
		require.Equal(t, app.RoleInfo{Name: "added", Does: "is new here", Needs: []string{"phrasebook"}, Replicas: 1, InAll: true, Callers: []string{"gateway"}}, info)
		picked, err := command.Pick(all, []string{"all"})
		require.NoError(t, err)
		require.Equal(t, "added", picked[len(picked)-1].Name, "part of --role=all")
	})
}

// TestARoleWithRoutesIsServedByTheGateway shows the other half: the gateway
// serves the routes that a role hands it, and those alone.
func TestARoleWithRoutesIsServedByTheGateway(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.settings(func(c *app.Config) {
			c.Roles = nil
			for _, role := range services.All {
				if role.Name == "phrasebook" {
					role.HTTP, role.OpenAPI = phrasebookpb.RegisterPhrasebookHandler, nil
				} else {
					role.HTTP, role.OpenAPI = nil, nil
				}
				c.Roles = append(c.Roles, role)
			}
		})
		w.start("phrasebook-1", "gateway-1")
		_, err := w.Get(t.Context(), "/v1/languages/en/phrases")
		require.NoError(t, err)
		_, err = w.Get(t.Context(), "/v1/greetings/Ada")
		require.ErrorContains(t, err, "404")
	})
}
