package command

import (
	"errors"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/app"
	"example.com/app/platform/resilience"
)

// system is roles by name alone.
func system() []app.Role {
	return []app.Role{
		{Name: "gateway", Replicas: 2, Doc: "answers HTTP"}, {Name: "greeter", Replicas: 3}, {Name: "phrasebook"}, {Name: "interop", Extra: true},
	}
}

// parsed is what a command gets from its flags and its environment.
type parsed struct {
	Log   string
	Drain time.Duration
	Peers []string
}

func parse(t *testing.T, args []string, env map[string]string) (parsed, error) {
	t.Helper()
	var p parsed
	cmd := &cobra.Command{Use: "x"}
	cmd.Flags().StringVar(&p.Log, "log-level", "info", "")
	cmd.Flags().DurationVar(&p.Drain, "drain", 5*time.Second, "")
	cmd.Flags().StringArrayVar(&p.Peers, "peer", nil, "")
	require.NoError(t, cmd.ParseFlags(args))
	err := FromEnv(cmd, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	return p, err
}

func TestFlagsComeBeforeTheEnvironmentAndThatBeforeDefaults(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		want parsed
	}{
		"defaults":    {nil, nil, parsed{"info", 5 * time.Second, nil}},
		"environment": {nil, map[string]string{"APP_LOG_LEVEL": "debug", "APP_DRAIN": " 1s "}, parsed{"debug", time.Second, nil}},
		"flags":       {[]string{"--log-level=warn"}, map[string]string{"APP_LOG_LEVEL": "debug", "APP_DRAIN": "1s"}, parsed{"warn", time.Second, nil}},
		"a flag set to its default": {
			[]string{"--drain=5s"}, map[string]string{"APP_DRAIN": "1s"}, parsed{"info", 5 * time.Second, nil},
		},
		"repeated":          {nil, map[string]string{"APP_PEER": "a=h:1; b=h:2"}, parsed{"info", 5 * time.Second, []string{"a=h:1", "b=h:2"}}},
		"repeated, loosely": {nil, map[string]string{"APP_PEER": ";a=h:1;"}, parsed{"info", 5 * time.Second, []string{"a=h:1"}}},
		"repeated, empty":   {nil, map[string]string{"APP_PEER": ""}, parsed{"info", 5 * time.Second, nil}},
		"repeated by flag":  {[]string{"--peer=c=h:3"}, map[string]string{"APP_PEER": "a=h:1;b=h:2"}, parsed{"info", 5 * time.Second, []string{"c=h:3"}}},
		"empty is a value":  {nil, map[string]string{"APP_LOG_LEVEL": ""}, parsed{"", 5 * time.Second, nil}},
		"help is no flag":   {nil, map[string]string{"APP_HELP": "maybe"}, parsed{"info", 5 * time.Second, nil}},
	} {
		got, err := parse(t, c.args, c.env)
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
}

func TestBadEnvironmentNamesTheVariable(t *testing.T) {
	_, err := parse(t, nil, map[string]string{"APP_DRAIN": "soon"})
	require.ErrorContains(t, err, `environment variable APP_DRAIN: invalid argument "soon"`)
	var wrong *UsageError
	require.ErrorAs(t, err, &wrong)
}

func TestEnvName(t *testing.T) {
	require.Equal(t, "APP_LOG_LEVEL", EnvName("log-level"))
	require.Equal(t, "APP_ROLE", EnvName("role"))
}

func TestPickFindsRolesEachOnce(t *testing.T) {
	for name, c := range map[string]struct{ asked, want []string }{
		"one":            {[]string{"greeter"}, []string{"greeter"}},
		"as asked":       {[]string{"phrasebook", "gateway"}, []string{"phrasebook", "gateway"}},
		"all":            {[]string{"all"}, []string{"gateway", "greeter", "phrasebook"}},
		"all and extra":  {[]string{"all", "interop"}, []string{"gateway", "greeter", "phrasebook", "interop"}},
		"none twice":     {[]string{"greeter", "all", "greeter"}, []string{"greeter", "gateway", "phrasebook"}},
		"nothing at all": {nil, []string{}},
	} {
		all := system()
		got, err := Pick(all, c.asked)
		require.NoError(t, err, name)
		require.Equal(t, c.want, names(got), name)
		require.Equal(t, system(), all, "the list itself is not touched")
	}
}

func TestPickNamesTheNearestRole(t *testing.T) {
	for asked, hint := range map[string]string{
		"greter":    "did you mean greeter? `app roles` lists them all",
		"Gateway":   "did you mean gateway? `app roles` lists them all",
		"phrasebok": "did you mean phrasebook? `app roles` lists them all",
		"al":        "did you mean all? `app roles` lists them all",
		"database":  "the roles are gateway, greeter, phrasebook, interop; all means all of the system",
	} {
		_, err := Pick(system(), []string{"gateway", asked})
		require.EqualError(t, err, `there is no role "`+asked+`"`)
		require.Equal(t, hint, hintOf(err))
		require.Equal(t, ExitUsage, Report(new(discard), err))
	}
}

// hintOf is the hint that a person would see.
func hintOf(err error) string {
	var h *HintError
	if errors.As(err, &h) {
		return h.Hint
	}
	return ""
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"greeter", "greeter", 0}, {"greter", "greeter", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 2}} {
		require.Equal(t, c.want, distance(c.a, c.b), "%s, %s", c.a, c.b)
		require.Equal(t, c.want, distance(c.b, c.a), "%s, %s", c.b, c.a)
	}
}

func TestCounts(t *testing.T) {
	all := system()
	for name, c := range map[string]struct {
		run      []string
		settings []string
		want     map[string]int
	}{
		"one role":         {[]string{"greeter"}, nil, map[string]int{"greeter": 1}},
		"the whole system": {[]string{"all"}, nil, map[string]int{"gateway": 2, "greeter": 3, "phrasebook": 1}},
		"as set":           {[]string{"all"}, []string{"greeter=5", "phrasebook=2"}, map[string]int{"gateway": 2, "greeter": 5, "phrasebook": 2}},
		"the last counts":  {[]string{"greeter"}, []string{"greeter=5", "greeter=4"}, map[string]int{"greeter": 4}},
	} {
		run, err := Pick(all, c.run)
		require.NoError(t, err)
		got, err := Counts(all, run, c.run[0] == "all", c.settings)
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
}

func TestCountsSayWhatIsWrong(t *testing.T) {
	all := system()
	for setting, want := range map[string]string{
		"greeter":      `--replicas "greeter": want role=number, from 1 to 1000, as in greeter=3`,
		"greeter=many": `--replicas "greeter=many": want role=number, from 1 to 1000, as in greeter=3`,
		"greeter=0":    `--replicas "greeter=0": want role=number, from 1 to 1000, as in greeter=3`,
		"greeter=1001": `--replicas "greeter=1001": want role=number, from 1 to 1000, as in greeter=3`,
		"gateway=2":    `--replicas "gateway=2": gateway is not among the roles to run`,
		"greter=2":     `there is no role "greter"`,
	} {
		_, err := Counts(all, all[1:2], false, []string{setting})
		require.EqualError(t, err, want)
		require.Equal(t, ExitUsage, Report(new(discard), err))
	}
}

func TestParseWork(t *testing.T) {
	got, err := ParseWork(system(), []string{"greeter=20ms,workers=8,queue=3", "phrasebook=workers=2"})
	require.NoError(t, err)
	require.Equal(t, map[string]resilience.Work{
		"greeter": {Time: 20 * time.Millisecond, Workers: 8, Queue: 3}, "phrasebook": {Workers: 2},
	}, got)
	slow := resilience.Work{Time: time.Second}
	got, err = ParseWork(system(), []string{"all=1s"})
	require.NoError(t, err)
	require.Equal(t, map[string]resilience.Work{"gateway": slow, "greeter": slow, "phrasebook": slow}, got)
}

func TestParseWorkSaysWhatIsWrong(t *testing.T) {
	for setting, want := range map[string]string{
		"greeter":         `--work "greeter": work "": want a time and limits, as in 20ms,workers=8,queue=100`,
		"greeter=-1s":     `--work "greeter=-1s": work "-1s": want a time and limits, as in 20ms,workers=8,queue=100`,
		"greeter=1s,of=2": `--work "greeter=1s,of=2": work "1s,of=2": want a time and limits, as in 20ms,workers=8,queue=100`,
		"nobody=1s":       `there is no role "nobody"`,
	} {
		_, err := ParseWork(system(), []string{setting})
		require.EqualError(t, err, want)
		require.Equal(t, ExitUsage, Report(new(discard), err))
	}
}
