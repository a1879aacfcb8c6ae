package registry_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	"example.com/app/platform/errs"
	"example.com/app/platform/registry"
)

func TestParsePeerReadsRoleAndAddress(t *testing.T) {
	for text, want := range map[string]registry.Instance{
		"greeter=localhost:50051": {ID: "greeter=localhost:50051", Role: "greeter", Addr: "localhost:50051"},
		"shop=[::1]:80":           {ID: "shop=[::1]:80", Role: "shop", Addr: "[::1]:80"},
		" shop = a:80 ":           {ID: "shop=a:80", Role: "shop", Addr: "a:80"},
	} {
		got, err := registry.ParsePeer(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
		require.NoError(t, got.Validate())
	}
}

func TestParsePeerSaysWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"greeter":           "want role=host:port",
		"=a:1":              "no role before the =",
		"greeter=a":         "want host:port",
		"greeter=:1":        "want host:port",
		"greeter=::1:1":     "want host:port",
		"greeter=a:0":       "want a port from 1 to 65535",
		"greeter=a:http":    "want a port from 1 to 65535",
		"greeter=a:9999999": "as in greeter=localhost:50051",
	} {
		_, err := registry.ParsePeer(text)
		require.True(t, errs.Invalid.Is(err), "%s: %v", text, err)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, text)
	}
}

func TestStaticRegisterWaitsAndListsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		told := 0
		done := register(ctx, registry.Static{}, registry.Registration{Instance: greeter, Report: func(err error) {
			require.NoError(t, err)
			told++
		}})
		time.Sleep(time.Hour)
		require.Empty(t, done, "it waits")
		cancel()
		require.NoError(t, <-done)
		require.Equal(t, 1, told)
		require.Empty(t, list(t, registry.Static{}, "greeter"))
		require.True(t, errs.Invalid.Is(registry.Static{}.Register(t.Context(), registry.Registration{})))
	})
}

func TestEveryFaultOfAnInstanceIsNamed(t *testing.T) {
	err := registry.Instance{Weight: -1}.Validate()
	require.True(t, errs.Invalid.Is(err))
	var paths []string
	for _, d := range status.Convert(err).Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, f := range bad.FieldViolations {
				paths = append(paths, f.Field)
			}
		}
	}
	require.Equal(t, []string{"id", "role", "addr", "weight"}, paths)
}

func TestFateIsToldOnChangeOnly(t *testing.T) {
	var fate registry.Fate
	var heard []error
	tell := func(err error) { fate.Tell(func(err error) { heard = append(heard, err) }, err) }
	a, b := errs.Unavailable.New("a"), errs.Unavailable.New("b")
	for _, err := range []error{nil, nil, a, errs.Unavailable.New("a"), b, nil} {
		tell(err)
	}
	require.Equal(t, []error{nil, a, b, nil}, heard)
	new(registry.Fate).Tell(nil, a) // nobody listens
}
