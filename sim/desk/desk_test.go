package desk

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/command"
	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/simtest"
)

// system is the small one, with a storm of its own and a scenario that breaks.
func system() System {
	calm := sim.Scenario{Name: "calm", Doc: "nothing happens", Duration: 3 * time.Second, Heal: 2 * time.Second, Recovery: time.Second}
	storm := calm
	storm.Name, storm.Doc, storm.Faults = "storm", "much happens", sim.Swarm(5, fault.Crash, fault.Restart, fault.Loss)
	broken := calm
	broken.Name, broken.Faults, broken.Check = "broken", sim.Script("1s lose-request greeter 1 for 1s"), (*sim.World).NoneLost
	return System{Roles: simtest.System(), Scenarios: []sim.Scenario{storm, calm, broken}, Version: "v1"}
}

// do runs `app sim` with arguments.
func do(t *testing.T, args ...string) (out, said string, err error) {
	t.Helper()
	cmd := Command(system())
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	var o, e bytes.Buffer
	cmd.SetOut(&o)
	cmd.SetErr(&e)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return o.String(), e.String(), err
}

func TestABareRunIsInRealTimeAndTellsWhatHappened(t *testing.T) {
	out, said, err := do(t, "--duration=2s", "--rate=50", "--down=300ms", "--tui=off")
	require.NoError(t, err)
	lines := strings.Split(out, "\n")
	require.Equal(t, []string{"instance", "calls", "errors", "p50", "p99", "longest", "note"}, strings.Fields(lines[0]))
	require.Regexp(t, `^gateway-1 +100 +0 `, lines[1])
	require.Regexp(t, `greeter-1 .*crashed at 0\.8s, back at 1\.1s`, out)
	require.Regexp(t, `users +100 +0 `, out)
	require.Regexp(t, `(?m)^3 instances up in .*; 100 calls, 0 lost$`, out)
	require.Regexp(t, `(?m)^  1\.0s of 2s  \d+ calls, 0 lost, p99 \S+  crash greeter-1$`, said)
}

func TestABareRunThatLosesCallsFailsWithTheFirst(t *testing.T) {
	out, _, err := do(t, "--duration=1s", "--rate=50", "--crash=none", "--work=greeter=1s,workers=1,queue=1")
	require.ErrorContains(t, err, "calls were lost, the first: GET /")
	require.Regexp(t, `50 calls, [1-9]\d* lost`, out)
}

func TestATableThatChanges(t *testing.T) {
	_, said, err := do(t, "--duration=1s", "--rate=50", "--crash=none", "--tui=on")
	require.NoError(t, err)
	require.Contains(t, said, "in flight")
	require.Contains(t, said, "\033[")
}

func TestAnInterruptedRunShowsWhatHappened(t *testing.T) {
	cmd := Command(system())
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(new(bytes.Buffer))
	cmd.SetArgs([]string{"--duration=1h", "--rate=50", "--crash=none"})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, cmd.ExecuteContext(ctx), "interrupted after")
	require.Contains(t, out.String(), "0 lost")
}

func TestAVirtualRunTellsItsTrace(t *testing.T) {
	out, _, err := do(t, "--virtual")
	require.NoError(t, err)
	// The second more is for requests that have not ended when the time is up.
	require.Regexp(t, `^ok    storm  seed 0  virtual  trace [0-9a-f]{8}\n      \d+ requests, \d+ failed, 5 faults; [56]s of fleet time in `, out)
	out, _, err = do(t, "calm", "--virtual", "--seed=3", "--json")
	require.NoError(t, err)
	var r sim.Report
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.Equal(t, uint64(3), r.Seed)
	require.Equal(t, "calm", r.Scenario)
	require.False(t, r.Exact)
	require.Len(t, r.Hash, 64)
}

func TestARunThatBreaksAnInvariantSaysHowToSeeItAgain(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "broken.json")
	out, _, err := do(t, "broken", "--virtual", "--seed=2", "--keep="+file, "--trace="+filepath.Join(dir, "t.txt"), "--trace="+filepath.Join(dir, "t.md"), "--rate=30")
	var ended *command.EndedError
	require.ErrorAs(t, err, &ended)
	require.Equal(t, command.ExitError, ended.Code)
	require.Regexp(t, `^FAIL  broken  seed 2  t=1\.\d+s  no request is lost: GET /[ab] after `, out)
	for _, want := range []string{
		"replay:    app sim broken --seed=2 --rate=30\n",
		"shrink:    app sim broken --seed=2 --rate=30 --shrink --keep=broken-2.json\n",
		"timeline:  app sim broken --seed=2 --rate=30 --trace=broken-2.html\n",
		"fault:     1s lose-request greeter 1 for 1s\n",
		"✗ lose-request greeter 1 for 1s",
		"‼ no request is lost",
	} {
		require.Contains(t, out, want)
	}
	text, err := os.ReadFile(filepath.Join(dir, "t.md"))
	require.NoError(t, err)
	require.Contains(t, string(text), "sequenceDiagram")
	text, err = os.ReadFile(filepath.Join(dir, "t.txt"))
	require.NoError(t, err)
	require.Regexp(t, `(?m)^\d+\.\d{9}s violation - "no request is lost" `, string(text))

	out, _, err = do(t, "--schedule="+file, "--virtual")
	require.ErrorAs(t, err, &ended)
	require.Contains(t, out, "FAIL  broken  seed 2")
}

func TestListAndDescribe(t *testing.T) {
	out, _, err := do(t, "list")
	require.NoError(t, err)
	require.Regexp(t, `^storm +much happens\ncalm +nothing happens\nbroken +nothing happens\nzoo-\S+ +\S`, out)
	out, _, err = do(t, "describe", "broken")
	require.NoError(t, err)
	for _, want := range []string{"broken: nothing happens", "1 × gateway", "2 × greeter", "GET /a", "1s lose-request greeter 1 for 1s", "1s later no request may fail"} {
		require.Contains(t, out, want)
	}
	_, _, err = do(t, "describe")
	require.ErrorContains(t, err, "name one scenario")
}

func TestArgumentsThatMakeNoSense(t *testing.T) {
	const limits = "--rate must be above 0 and at most 100000, --duration above 0s, --down and --heal 0s or more"
	for _, c := range []struct {
		args       []string
		want, hint string
	}{
		{[]string{"--rate=0"}, limits, ""},
		{[]string{"--rate=NaN"}, limits, ""},
		{[]string{"--rate=1e6"}, limits, ""},
		{[]string{"--duration=0s"}, limits, ""},
		{[]string{"--down=-1s"}, limits, ""},
		{[]string{"--crash=greeter-3"}, `--crash: there is no instance "greeter-3"`, "the instances are greeter-1, greeter-2, gateway-1; none crashes none"},
		{[]string{"--replicas=greter=3"}, `there is no role "greter"`, "did you mean greeter? `app roles` lists them all"},
		{[]string{"--work=x=1s"}, `there is no role "x"`, ""},
		{[]string{"--balance=luck"}, "luck", ""},
		{[]string{"nothing"}, `there is no scenario "nothing"`, "`app sim list` shows them all"},
		{[]string{"a", "b"}, `app sim takes one scenario, not "a b"`, ""},
		{[]string{"--trace=x.pdf"}, `--trace: name the file .html, .json, .md or .txt, not "x.pdf"`, ""},
		{[]string{"--tui=maybe"}, `--tui must be auto, on or off, not "maybe"`, ""},
		{[]string{"--verify=1"}, "--verify compares runs: it needs 2 or more", ""},
		{[]string{"--verify=2", "--virtual"}, "--virtual does not promise the same trace twice: leave it out", ""},
		{[]string{"--search=2", "--verify=2"}, "--search looks for a failure, --verify repeats one seed: choose one", ""},
		{[]string{"--collect"}, "--collect and --paranoid belong to --search", ""},
		{[]string{"--page=:1", "--seed=3"}, "--page shows a fleet that runs in real time", ""},
		{[]string{"--json", "--search=3"}, "--json prints the report of one run", ""},
		{[]string{"--schedule=/nowhere.json"}, "--schedule: open /nowhere.json: no such file or directory", ""},
		{[]string{"--schedule=desk_test.go"}, "--schedule: desk_test.go: read the schedule: ", ""},
	} {
		_, _, err := do(t, c.args...)
		require.ErrorContains(t, err, c.want, c.args)
		if c.hint != "" {
			var hint *command.HintError
			require.ErrorAs(t, err, &hint, c.args)
			require.Equal(t, c.hint, hint.Hint)
		}
		if !strings.Contains(c.want, "luck") {
			require.ErrorAs(t, err, new(*command.UsageError), c.args)
		}
	}
}

func TestWithoutATwinThereIsAnOffer(t *testing.T) {
	t.Chdir(t.TempDir())
	_, _, err := do(t, "calm", "--seed=1")
	var hint *command.HintError
	require.ErrorAs(t, err, &hint)
	require.ErrorContains(t, err, "build the exact twin: the working directory is not in the program's source")
	require.Contains(t, hint.Hint, "--virtual runs the same scenario without it")
}

func TestChildrenGetTheFlagsThatWereSet(t *testing.T) {
	cmd := &cobra.Command{}
	o := options{}
	o.flags(cmd.Flags())
	require.NoError(t, cmd.ParseFlags([]string{"--replicas=a=1,b=2", "--work=a=1ms,workers=2", "--rate=3", "--search=9", "--jobs=2"}))
	require.Equal(t, []string{"--rate=3", "--replicas=a=1", "--replicas=b=2", "--work=a=1ms,workers=2"}, passed(cmd))
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

func TestTheZooTellsWhereATableIsNotItsOwn(t *testing.T) {
	rows := [][]string{{"`zoo-a`: one", "this holds", "3", "40", "1 of 2", "1s"}, {"`zoo-b`: two", "that holds", "1", "20", "1 of 5", "2s"}}
	table := markdown(append([][]string{{"bug"}}, rows...))
	for name, c := range map[string]struct{ text, said, err string }{
		"it is":              {table, "", ""},
		"another time":       {strings.ReplaceAll(table, "2s", "9s"), "", ""},
		"another number":     {strings.ReplaceAll(table, "1 of 5", "2 of 5"), "F has other numbers: `zoo-b`: two | that holds | 1 | 20 | 2 of 5 | 2s; now 1 | 20 | 1 of 5 | 2s\n", ""},
		"another word":       {strings.ReplaceAll(table, "that", "what"), "", "F has another table:\nit lacks: | `zoo-b`: two | that holds | 1 | 20 | 1 of 5 | 2s |"},
		"a bug is missing":   {markdown(rows[:1]), "", "F has another table:\nit lacks: | `zoo-b`: two | that holds | 1 | 20 | 1 of 5 | 2s |"},
		"a bug too many":     {table + "| `zoo-c`: three | 1 |\n", "", "F has another table:\nthere is no such bug: | `zoo-c`: three | 1 |"},
		"there is no table":  {"", "", "F has another table:\nit lacks: | `zoo-a`: one"},
		"a row that is none": {strings.ReplaceAll(table, " | 1 of 5 | 2s", ""), "", "it lacks: | `zoo-b`"},
	} {
		var said bytes.Buffer
		err := compare(rows, c.text, "F", &said)
		require.Equal(t, c.said, said.String(), name)
		if c.err == "" {
			require.NoError(t, err, name)
		} else {
			require.ErrorContains(t, err, c.err, name)
		}
	}
}
