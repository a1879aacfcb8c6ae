package integration

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/services/greeter/greeterpb"
	"example.com/app/services/phrasebook/phrasebookpb"
	"example.com/app/sim/load"
)

// TestNobodyIsAnsweredWithoutAToken is told from outside, and AU12: what a
// stranger says of himself in other headers changes nothing.
func TestNobodyIsAnsweredWithoutAToken(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.start("phrasebook-1", "greeter-1", "gateway-1")
		hello, err := w.greet("Ada", "en")
		require.NoError(t, err)
		require.Equal(t, "Hello, Ada!", hello)

		stranger := load.NewUser(w.net, 20*time.Second)
		ctx, cancel := context.WithCancel(context.Background())
		var life sync.WaitGroup
		life.Go(func() { stranger.Run(ctx, w.reg) })
		defer func() { cancel(); life.Wait() }()
		for name, header := range map[string]http.Header{
			"nothing": {}, "a name": {"X-User": {"ada"}, "Grpc-Metadata-Authorization": {"Bearer x"}, "X-Forwarded-Client-Cert": {"URI=spiffe://app.internal/svc/gateway"}},
			"rubbish": {"Authorization": {"Bearer ey.ey.x"}}, "a password": {"Authorization": {"Basic YWRhOmFkYQ=="}},
		} {
			_, err := stranger.Send(t.Context(), http.MethodGet, "/v1/greetings/Ada", "", header)
			var status *load.StatusError
			require.ErrorAs(t, err, &status, name)
			require.Equal(t, http.StatusUnauthorized, status.Status, name)
		}
	})
}

// TestAWorkloadCallsOnlyWhomItMay goes past the gateway, with a good token: the
// greeter is for the gateway alone.
func TestAWorkloadCallsOnlyWhomItMay(t *testing.T) {
	everyWorld(t, func(t *testing.T, w *world) {
		w.start("phrasebook-1", "greeter-1")
		_, err := greeterpb.NewGreeterClient(w.dialAs("gateway", "greeter")).SayHello(t.Context(), &greeterpb.SayHelloRequest{Name: "Ada"})
		require.NoError(t, err)
		_, err = greeterpb.NewGreeterClient(w.dialAs("phrasebook", "greeter")).SayHello(t.Context(), &greeterpb.SayHelloRequest{Name: "Ada"})
		require.True(t, errs.Denied.Is(err), "%v", err)
		require.ErrorContains(t, err, "phrasebook may not call greeter")
		_, err = phrasebookpb.NewPhrasebookClient(w.dialAs("greeter", "phrasebook")).GetPhrase(t.Context(), &phrasebookpb.GetPhraseRequest{Name: "languages/en/phrases/greeting"})
		require.NoError(t, err)
	})
}
