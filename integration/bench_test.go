package integration

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/app"
	"example.com/app/platform/command"
	"example.com/app/services"
	"example.com/app/sim/load"
)

// BenchmarkStartToFirstAnswer is the whole system of --role=all in this
// process, from nothing to the first greeting over HTTP, and down again: the
// time reported is that of the way up.
func BenchmarkStartToFirstAnswer(b *testing.B) {
	roles, err := command.Pick(services.All, []string{"all"})
	require.NoError(b, err)
	counts, err := command.Counts(services.All, roles, true, nil)
	require.NoError(b, err)
	for b.Loop() {
		fabric := app.Memory()
		node, err := app.New(app.Config{Roles: services.All, Run: counts, Fabric: fabric})
		require.NoError(b, err)
		ctx, stop := context.WithCancel(b.Context())
		ended := make(chan error, 1)
		go func() { ended <- node.Run(ctx) }()
		reg, net := fabric.Host("user")
		user := load.NewUser(net, 0)
		gone := make(chan struct{})
		go func() { defer close(gone); user.Run(ctx, reg) }()
		res, err := user.Send(ctx, http.MethodGet, "/v1/greetings/Ada", "", nil)
		b.StopTimer()
		require.NoError(b, err)
		require.NoError(b, res.Body.Close())
		stop()
		<-gone
		require.NoError(b, <-ended)
		b.StartTimer()
	}
}
