package command

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"

	"example.com/app/platform/app"
)

// Exit codes of the program. A second signal ends it with 128 and its number,
// as a shell would say.
const (
	ExitClean = 0 // all went well: every call was answered
	ExitError = 1 // it could not start, or broke
	ExitUsage = 2 // the command line is wrong
	ExitCut   = 3 // it stopped in order, but calls were cut at the deadline
)

// A UsageError is a command line that makes no sense.
type UsageError struct{ Err error }

// Error is the text of what is wrong.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap is what is wrong.
func (e *UsageError) Unwrap() error { return e.Err }

func usage(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// A HintError says what to do about an error.
type HintError struct {
	Err  error
	Hint string
}

// Error is the text of the error, without the hint.
func (e *HintError) Error() string { return e.Err.Error() }

// Unwrap is the error.
func (e *HintError) Unwrap() error { return e.Err }

// A SignalError ends a program that was told twice to stop.
type SignalError struct{ Signal syscall.Signal }

// Error names the signal.
func (e *SignalError) Error() string {
	return fmt.Sprintf("%v again: stopped at once, calls in flight were cut", e.Signal)
}

// An EndedError ends the program as another has ended, which has said why.
type EndedError struct{ Code int }

// Error is the code.
func (e *EndedError) Error() string { return fmt.Sprintf("exit code %d", e.Code) }

// Report writes an error for a person to read, and returns the exit code that
// goes with it.
func Report(w io.Writer, err error) (code int) {
	if err == nil {
		return ExitClean
	}
	if ended := (*EndedError)(nil); errors.As(err, &ended) {
		return ended.Code
	}
	text := strings.ReplaceAll(err.Error(), "\n", "\napp: ") // several errors, a line each
	_, _ = fmt.Fprintf(w, "app: %s\n", text)                 // nowhere to say that this failed
	if h := (*HintError)(nil); errors.As(err, &h) {
		_, _ = fmt.Fprintf(w, "app: hint: %s\n", h.Hint)
	}
	var signal *SignalError
	var wrong *UsageError
	switch {
	case errors.As(err, &signal):
		return 128 + int(signal.Signal)
	case errors.As(err, &wrong):
		return ExitUsage
	case onlyCut(err):
		return ExitCut
	default:
		return ExitError
	}
}

// onlyCut says that err is a CutError, or several and nothing else: what broke
// counts for more than what was cut by it.
func onlyCut(err error) bool {
	if _, ok := err.(*app.CutError); ok { //nolint:errorlint // the tree is walked here
		return true
	}
	switch e := err.(type) { //nolint:errorlint // the same
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(e.Unwrap(), func(err error) bool { return !onlyCut(err) })
	case interface{ Unwrap() error }:
		return onlyCut(e.Unwrap())
	default:
		return false
	}
}

// explain adds a hint to the errors that a newcomer meets.
func explain(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return &HintError{err, "another program has that port: stop it, or choose others with --grpc, --http and --admin (:0 takes a free one)"}
	}
	if errors.Is(err, syscall.EACCES) {
		return &HintError{err, "ports below 1024 need privileges: choose others with --grpc, --http and --admin"}
	}
	if errors.Is(err, app.ErrAdminOpen) {
		return &HintError{err, "say who may ask there with --admin-token-file=FILE, or keep it to this machine: --admin=127.0.0.1:9090"}
	}
	return err
}
