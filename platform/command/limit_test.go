package command

import (
	"io"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/app"
	"example.com/app/platform/resilience"
	"example.com/app/platform/rpc"
)

// configured is what the flags of serve make.
func configured(t *testing.T, args ...string) (app.Config, error) {
	t.Helper()
	var s serving
	f := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	s.flags(f)
	require.NoError(t, f.Parse(append([]string{"--role=all"}, args...)))
	return s.config([]app.Role{{Name: "greeter"}, {Name: "shop"}}, "v1", streams{err: io.Discard}, false)
}

func TestLimitsAndMethodsAreReadFromFlags(t *testing.T) {
	cfg, err := configured(t, "--limit=greeter=off", "--limit=queue=9", "--limit=shop=max=5",
		"--method=/greeter.v1.Greeter/SayHello:timeout=1s,hedge=off", "--method=:retry=off")
	require.NoError(t, err)
	require.Equal(t, map[string]resilience.LimitConfig{"shop": {Max: 5}, "greeter": {Off: true}, "": {Queue: 9}}, cfg.Limits)
	require.Equal(t, rpc.Methods{"/greeter.v1.Greeter/SayHello": {Timeout: time.Second, Hedge: rpc.Off}, "": {Attempts: 1}}, cfg.Methods)
}

func TestLimitsAndMethodsThatMakeNoSenseAreRefused(t *testing.T) {
	for arg, words := range map[string]string{
		"--limit=greter=off":          `--limit "greter=off": limit "greter=off": want off, or some of min`,
		"--limit=greeter=":            "want off, or some of min, max, initial, queue, wait, slack",
		"--method=SayHello:retry=off": "--method: method \"SayHello:retry=off\": want /pkg.Service/Method:settings",
		"--method=:speed=9":           "there are hedge, priority, retry, timeout, weight",
	} {
		_, err := configured(t, arg)
		require.ErrorContains(t, err, words)
		require.ErrorAs(t, err, new(*UsageError))
	}
}
