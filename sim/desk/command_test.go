package desk

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/app"
	"example.com/app/platform/command"
	"example.com/app/sim/simtest"
)

// defaults are the options of a bare `app sim`.
func defaults() options {
	return options{rate: 200, duration: 10 * time.Second, down: 2 * time.Second, crash: "greeter-1"}
}

// fewer are the defaults with fewer calls, for tests that count none.
func fewer() options {
	o := defaults()
	o.rate = 40
	return o
}

// told is what a simulation said.
type told struct{ out, progress strings.Builder }

// simulate runs the whole simulation under virtual time.
func simulate(ctx context.Context, t *testing.T, o options) (*told, error) {
	t.Helper()
	s, err := o.simulation(simtest.System())
	require.NoError(t, err)
	said := new(told)
	err = s.run(ctx, &said.out, &said.progress)
	require.Empty(t, s.fleet.Up(), "all has been stopped")
	return said, err
}

func TestSimulationLosesNoCallThroughACrash(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		said, err := simulate(t.Context(), t, defaults())
		require.NoError(t, err)
		table := strings.Split(said.out.String(), "\n")
		require.Equal(t, []string{"role", "instance", "calls", "errors", "p50", "p99", "longest", "note"}, strings.Fields(table[0]))
		require.Regexp(t, `^gateway  gateway-1   2000       0  `, table[1])
		require.Regexp(t, `^greeter  greeter-1  +\d+       0 .*  crashed at 4\.0s, back at 6\.0s$`, table[2])
		require.Regexp(t, `^greeter  greeter-2  +\d+       0 .*[^ ]$`, table[3])
		require.NotContains(t, table[3], "crashed")
		require.Regexp(t, `^users    +2000       0  `, table[4])
		require.Regexp(t, `^3 instances up in .*; 2000 calls, 0 lost$`, table[6])
	})
}

func TestSimulationTellsItsProgressALineASecond(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		said, err := simulate(t.Context(), t, fewer())
		require.NoError(t, err)
		lines := strings.Split(strings.TrimSuffix(said.progress.String(), "\n"), "\n")
		require.GreaterOrEqual(t, len(lines), 9)
		require.Regexp(t, `^  1\.0s of 10s  4\d calls, 0 lost, p99 \S+$`, lines[0])
		require.Regexp(t, `^  5\.0s of 10s  \d+ calls, 0 lost, p99 \S+  greeter-1 crashed$`, lines[4])
		require.Regexp(t, `^  8\.0s of 10s  \d+ calls, 0 lost, p99 \S+  greeter-1 is back$`, lines[7])
		require.NotContains(t, said.progress.String(), "\033", "no terminal, no colours")
	})
}

func TestSimulationWithoutACrash(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		o := fewer()
		o.crash, o.replicas = "none", []string{"greeter=4", "gateway=2"}
		said, err := simulate(t.Context(), t, o)
		require.NoError(t, err)
		for _, host := range []string{"gateway-1", "gateway-2", "greeter-1", "greeter-2", "greeter-3", "greeter-4"} {
			require.Regexp(t, host+`  +[1-9]\d* `, said.out.String())
		}
		require.NotContains(t, said.out.String(), "crashed")
		require.Contains(t, said.out.String(), "6 instances up")
	})
}

func TestSimulationThatLosesCallsFailsWithTheFirst(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		o := fewer()
		o.crash, o.work = "none", []string{"greeter=1s,workers=1,queue=1"}
		said, err := simulate(t.Context(), t, o)
		require.Error(t, err)
		require.Regexp(t, `^\d+ of 400 calls were lost, the first: GET /[ab]: GET /[ab]: 429 .*QUEUE_FULL`, err.Error())
		require.Equal(t, command.ExitError, command.Report(&said.progress, err))
		require.Regexp(t, `400 calls, [1-9]\d+ lost`, said.out.String())
	})
}

func TestARateThatIsNoNumberIsRefused(t *testing.T) {
	o := defaults()
	o.rate = math.NaN()
	_, err := o.simulation(simtest.System())
	require.ErrorContains(t, err, "--rate must be above 0")
}

func TestSimulationThatIsInterruptedShowsWhatHappened(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, cancel) // the crashed one is away
		said, err := simulate(ctx, t, fewer())
		require.EqualError(t, err, "interrupted after 5s of 10s")
		require.Regexp(t, `greeter-1 .* crashed at 4\.0s\n`, said.out.String())
		require.Regexp(t, `(199|200|201) calls, 0 lost\n$`, said.out.String())
	})
}

func TestSimulationThatIsInterruptedAtOnce(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		said, err := simulate(ctx, t, fewer())
		require.ErrorContains(t, err, "interrupted after 0s")
		require.Contains(t, said.out.String(), "0 calls, 0 lost")
	})
}

func TestSimulationThatCannotStartSaysWhy(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		roles := simtest.System()
		roles[0].New = func(*app.Env) (app.Service, error) { return nil, errors.New("no routes") }
		s, err := defaults().simulation(roles)
		require.NoError(t, err)
		var out strings.Builder
		require.EqualError(t, s.run(t.Context(), &out, &out), "start gateway-1: start gateway-1: no routes")
		require.Empty(t, s.fleet.Up())
	})
}

func TestSimulationOptionsThatMakeNoSense(t *testing.T) {
	const limits = "--rate must be above 0 and at most 100000, --duration above 0s, --down 0s or more"
	for name, c := range map[string]struct {
		change     func(*options)
		want, hint string
	}{
		"no rate":        {func(o *options) { o.rate = 0 }, limits, ""},
		"too fast":       {func(o *options) { o.rate = 1e6 }, limits, ""},
		"no time":        {func(o *options) { o.duration = 0 }, limits, ""},
		"down before":    {func(o *options) { o.down = -1 }, limits, ""},
		"unknown host":   {func(o *options) { o.crash = "greeter-3" }, `--crash: there is no instance "greeter-3"`, "the instances are greeter-1, greeter-2, gateway-1; none crashes none"},
		"unknown role":   {func(o *options) { o.replicas = []string{"greter=3"} }, `there is no role "greter"`, "did you mean greeter? `app roles` lists them all"},
		"work of nobody": {func(o *options) { o.work = []string{"x=1s"} }, `there is no role "x"`, "the roles are gateway, greeter, spare; all means all of the system"},
	} {
		o := defaults()
		c.change(&o)
		_, err := o.simulation(simtest.System())
		require.EqualError(t, err, c.want, name)
		var hint *command.HintError
		if c.hint != "" {
			require.ErrorAs(t, err, &hint, name)
			require.Equal(t, c.hint, hint.Hint, name)
		}
		require.Equal(t, command.ExitUsage, command.Report(new(strings.Builder), err), name)
	}
	_, err := defaults().simulation(simtest.System()[:1])
	require.EqualError(t, err, "no role says what users ask for: set Load in a Role")
}

func TestCommandReadsFlagsAndEnvironment(t *testing.T) {
	t.Setenv("APP_CRASH", "nobody")
	cmd := Command(simtest.System(), "v1")
	cmd.SetArgs(nil)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	require.EqualError(t, cmd.Execute(), `--crash: there is no instance "nobody"`)
	cmd.SetArgs([]string{"--crash=somebody"})
	require.EqualError(t, cmd.Execute(), `--crash: there is no instance "somebody"`)
	cmd.SetArgs([]string{"now"})
	require.EqualError(t, cmd.Execute(), `app sim takes flags only, not "now"`)
	require.ErrorAs(t, cmd.Execute(), new(*command.UsageError))
}

func TestCommandRunsInRealTime(t *testing.T) {
	cmd := Command(simtest.System(), "v1")
	var out, progress strings.Builder
	cmd.SetOut(&out)
	cmd.SetErr(&progress)
	cmd.SetArgs([]string{"--duration=500ms", "--rate=100", "--crash=none"})
	require.NoError(t, cmd.ExecuteContext(t.Context()))
	require.Contains(t, out.String(), "50 calls, 0 lost\n")
}

func TestFilesAndBuffersAreNoTerminal(t *testing.T) {
	require.False(t, terminal(new(strings.Builder)))
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer file.Close()
	require.False(t, terminal(file))
}

func TestBarGrows(t *testing.T) {
	require.Equal(t, "["+strings.Repeat(" ", 30)+"]", bar(0, time.Second))
	require.Equal(t, "["+strings.Repeat("=", 15)+strings.Repeat(" ", 15)+"]", bar(time.Second/2, time.Second))
	require.Equal(t, "["+strings.Repeat("=", 30)+"]", bar(time.Minute, time.Second))
}

func TestTableAlignsTextLeftAndNumbersRight(t *testing.T) {
	require.Equal(t, `role   calls  p50  note
a          1  1µs
bbbbb  12345  1ms  crashed
`, align([][]string{{"role", "calls", "p50", "note"}, {"a", "1", "1µs", ""}, {"bbbbb", "12345", "1ms", "crashed"}}, "lrrl"))
}

func TestRoundKeepsThreeDigits(t *testing.T) {
	for given, want := range map[time.Duration]time.Duration{
		0: 0, 999: 999, 1234: 1230, 1235: 1240, 123456: 123000, 98765432: 98800000,
	} {
		require.Equal(t, want, round(given))
	}
}
