package transcode_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/transcode"
)

func TestAnErrorOfTheServiceReachesTheClient(t *testing.T) {
	srv := serve(t, transcode.Config{}, &echo{})
	for _, c := range []struct {
		name    string
		code    int
		status  string
		message string
	}{
		{"missing", 404, "NOT_FOUND", "no missing"},
		{"invalid", 400, "INVALID_ARGUMENT", "bad"},
		{"secret", 500, "INTERNAL", "internal error"},
		{"bug", 500, "INTERNAL", "internal error"},
		{"unknown", 500, "UNKNOWN", "internal error"},
		{"transport", 503, "UNAVAILABLE", "the service is not available just now"},
		{"closed", 503, "UNAVAILABLE", "closed for lunch"},
		{"busy", 429, "RESOURCE_EXHAUSTED", "busy"},
		{"stranger", 401, "UNAUTHENTICATED", "who are you"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, path := range []string{"/v1/echoes/" + c.name, "/v1/echoes/" + c.name + ":repeat"} {
				a := do(t, srv, "GET", path, "", "X-Request-Id: quote-me", "Accept: text/event-stream")
				require.Equal(t, c.code, a.StatusCode)
				f := a.fault(t)
				require.Equal(t, c.status, f.Error.Status)
				require.Equal(t, c.message, f.Error.Message)
				require.NotContains(t, a.text, "123")
				switch c.name {
				case "missing":
					require.Equal(t, "NO_NAME", f.Error.Details[0].Reason)
				case "invalid":
					require.Equal(t, []string{"name"}, f.fields())
				case "bug":
					require.Equal(t, "quote-me", f.Error.Details[0].RequestID)
				case "busy":
					require.Equal(t, "2", a.Header.Get("Retry-After"))
				case "stranger":
					require.Equal(t, `Bearer error="invalid_token", error_description="who are you"`, a.Header.Get("WWW-Authenticate"))
				}
			}
		})
	}
}

func TestAMethodThatAPathDoesNotHaveIsRefused(t *testing.T) {
	w := httptest.NewRecorder()
	transcode.NotAllowed(w, httptest.NewRequestWithContext(t.Context(), "POST", "/docs", nil), "GET", "HEAD")
	require.Equal(t, 405, w.Code)
	require.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
	require.Contains(t, w.Body.String(), "POST is not allowed here")
}

func TestAnErrorWithoutAKindIsABugUnlessTheClientIsToBlame(t *testing.T) {
	plain := errors.New("dial 10.0.0.1")
	for _, c := range []struct {
		name          string
		err           error
		code          int
		kind, message string
	}{
		{"a bug", plain, 500, "INTERNAL", "internal error"},
		{"the client's fault", &runtime.HTTPStatusError{HTTPStatus: 413, Err: errors.New("too large")}, 413, "INVALID_ARGUMENT", "too large"},
		{"a server behind us", &runtime.HTTPStatusError{HTTPStatus: 502, Err: plain}, 502, "INTERNAL", "internal error"},
		{"late", fmt.Errorf("call: %w", context.DeadlineExceeded), 504, "DEADLINE_EXCEEDED", "the call took too long"},
		{"left", context.Canceled, 499, "CANCELLED", "the call was cancelled"},
		{"of a kind", fmt.Errorf("call: %w", errs.NotFound.New("no Ada")), 404, "NOT_FOUND", "call: no Ada"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			w.Header().Set("ETag", `"of the answer that it was to be"`)
			transcode.WriteError(w, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil), c.err)
			f := answer{w.Result(), w.Body.String()}.fault(t)
			require.Equal(t, c.code, w.Code)
			require.Equal(t, c.kind, f.Error.Status)
			require.Equal(t, c.message, f.Error.Message)
			require.Empty(t, w.Header().Get("ETag"))
		})
	}
}
