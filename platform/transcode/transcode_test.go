package transcode_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"example.com/app/platform/transcode"
)

func TestACallHasADeadline(t *testing.T) {
	for header, want := range map[string]string{"": "30", "10S": "10", "1H": "120", "99999999H": "120", "60000m": "60", "9000000u": "9"} {
		synctest.Test(t, func(t *testing.T) {
			w := ask(handler(t, transcode.Config{}, &echo{}), "GET", "/v1/echoes/Ada", "Grpc-Timeout: "+header)
			require.Contains(t, w.Body.String(), `"secondsLeft":"`+want+`"`, header)
		})
	}
}

func TestATimeoutThatIsNoneIsRefused(t *testing.T) {
	h := handler(t, transcode.Config{}, &echo{})
	for _, bad := range []string{"S", "5", "0S", "1x", "-1S", "1.5S", "123456789S"} {
		w := ask(h, "GET", "/v1/echoes/Ada", "Grpc-Timeout: "+bad)
		require.Equal(t, 400, w.Code, bad)
		require.Contains(t, w.Body.String(), "BAD_TIMEOUT", bad)
	}
}

func TestACallThatTakesTooLongIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w := ask(handler(t, transcode.Config{Timeout: time.Minute}, &echo{}), "GET", "/v1/echoes/slow")
		require.Equal(t, 504, w.Code)
		require.Contains(t, w.Body.String(), "DEADLINE_EXCEEDED")
		require.Equal(t, time.Minute, time.Since(start))
	})
}

func TestARoleWhoseRoutesFailIsNamed(t *testing.T) {
	_, err := transcode.New(t.Context(), transcode.Config{}, transcode.Routes{Name: "none"}, transcode.Routes{
		Name:     "broken",
		Register: func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error { return io.ErrUnexpectedEOF },
	})
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorContains(t, err, "register the routes of broken")
}
