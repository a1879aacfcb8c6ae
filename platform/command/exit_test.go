package command

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/app"
)

func TestReport(t *testing.T) {
	cut := &app.CutError{Host: "greeter-1", Calls: 2}
	broken := errors.New("greeter-1: run: disk full")
	for name, c := range map[string]struct {
		err  error
		code int
		text string
	}{
		"nothing":              {nil, ExitClean, ""},
		"it broke":             {broken, ExitError, "app: greeter-1: run: disk full\n"},
		"command line":         {usage("--drain: %w", errors.New("soon")), ExitUsage, "app: --drain: soon\n"},
		"with a hint":          {&UsageError{&HintError{errors.New("no role"), "try all"}}, ExitUsage, "app: no role\napp: hint: try all\n"},
		"the hint outside":     {&HintError{fmt.Errorf("start: %w", broken), "make room"}, ExitError, "app: start: greeter-1: run: disk full\napp: hint: make room\n"},
		"cut":                  {cut, ExitCut, "app: greeter-1: 2 calls were cut at the deadline\n"},
		"cut, twice":           {errors.Join(cut, &app.CutError{Host: "a-1", Calls: 1}), ExitCut, "app: greeter-1: 2 calls were cut at the deadline\napp: a-1: 1 calls were cut at the deadline\n"},
		"cut, wrapped":         {explain(fmt.Errorf("stop: %w", errors.Join(nil, cut))), ExitCut, "app: stop: greeter-1: 2 calls were cut at the deadline\n"},
		"cut since it broke":   {errors.Join(cut, broken), ExitError, "app: greeter-1: 2 calls were cut at the deadline\napp: greeter-1: run: disk full\n"},
		"second interrupt":     {&SignalError{syscall.SIGINT}, 130, "app: interrupt again: stopped at once, calls in flight were cut\n"},
		"second termination":   {&SignalError{syscall.SIGTERM}, 143, "app: terminated again: stopped at once, calls in flight were cut\n"},
		"signal, in a wrapper": {fmt.Errorf("serve: %w", &SignalError{syscall.SIGTERM}), 143, "app: serve: terminated again: stopped at once, calls in flight were cut\n"},
	} {
		var text strings.Builder
		require.Equal(t, c.code, Report(&text, c.err), name)
		require.Equal(t, c.text, text.String(), name)
	}
}

func TestErrorsThatNewcomersMeetHaveHints(t *testing.T) {
	listen := func(errno syscall.Errno) error {
		return fmt.Errorf("start gateway-1: %w", &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", errno)})
	}
	for err, want := range map[error]string{
		listen(syscall.EADDRINUSE): "another program has that port: stop it, or choose others with --grpc, --http and --admin (:0 takes a free one)",
		listen(syscall.EACCES):     "ports below 1024 need privileges: choose others with --grpc, --http and --admin",
		errors.New("disk full"):    "",
	} {
		got := explain(err)
		require.EqualError(t, got, err.Error(), "the text stays")
		require.ErrorIs(t, got, err)
		require.Equal(t, want, hintOf(got))
	}
	require.NoError(t, explain(nil))
}
