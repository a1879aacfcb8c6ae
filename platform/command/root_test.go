package command

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/balance/policy"
)

// program runs the command line and returns what it says.
func program(args ...string) (string, error) {
	root := Root("v1.2.3")
	root.AddCommand(Serve(system(), "v1.2.3"), Roles(describable(), "v1.2.3"), Version("v1.2.3"))
	var out strings.Builder
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.Execute()
	return out.String(), err
}

func TestUnknownCommandNamesTheNearest(t *testing.T) {
	for arg, hint := range map[string]string{
		"serv":    "did you mean `app serve`?",
		"sevre":   "did you mean `app serve`?",
		"verison": "did you mean `app version`?",
		"destroy": "`app --help` lists the commands",
	} {
		_, err := program(arg)
		require.EqualError(t, err, `there is no command "`+arg+`"`)
		require.Equal(t, hint, hintOf(err))
		require.Equal(t, ExitUsage, Report(new(discard), err))
	}
}

func TestUnknownFlagAndArgumentAreUsageErrors(t *testing.T) {
	for _, c := range []struct{ line, want, hint string }{
		{"serve --rolle=all", "unknown flag: --rolle", "`app serve --help` lists the flags"},
		{"--rolle=all", "unknown flag: --rolle", "`app --help` lists the flags"},
		{"serve greeter", `app serve takes flags only, not "greeter"`, ""},
		{"version now", `app version takes flags only, not "now"`, ""},
		{"roles -o xml", `-o "xml": want table or json`, ""},
		{"serve", "which role? --role is missing", "app serve --role=all runs the whole system; `app roles` lists the roles"},
	} {
		_, err := program(strings.Fields(c.line)...)
		require.EqualError(t, err, c.want)
		require.Equal(t, c.hint, hintOf(err))
		require.Equal(t, ExitUsage, Report(new(discard), err))
	}
}

func TestBareProgramTeaches(t *testing.T) {
	text, err := program()
	require.NoError(t, err)
	for _, want := range []string{"app serve --role=all", "roles", "version", "Usage:"} {
		require.Contains(t, text, want)
	}
}

func TestVersionIsTold(t *testing.T) {
	text, err := program("version")
	require.NoError(t, err)
	require.Regexp(t, `^app v1\.2\.3 go1\.\S+ [a-z0-9]+/[a-z0-9]+\n$`, text)
	text, err = program("--version")
	require.NoError(t, err)
	require.Equal(t, "app version v1.2.3\n", text)
	require.NotEmpty(t, BuildVersion())
}

func TestServeHelpNamesEveryFlagAndItsDefault(t *testing.T) {
	text, err := program("serve", "--help")
	require.NoError(t, err)
	for _, flag := range []string{
		"role", "replicas", "registry", "network", "peer", "grpc", "http", "admin", "advertise",
		"zone", "prefer-zone", "balance", "hash-header", "subset", "route", "work", "drain", "grace", "log", "log-level",
	} {
		require.Contains(t, text, "--"+flag+" ", flag)
	}
	for _, want := range []string{`":50051"`, `":8080"`, `"127.0.0.1:9090"`, "5s", "30s", "APP_", "Exit codes"} {
		require.Contains(t, text, want)
	}
}

func TestFlagsThatHaveAListOfValuesCompleteThem(t *testing.T) {
	for flag, want := range map[string]string{
		"--role":     "all\ngateway\ngreeter\nphrasebook\ninterop\n",
		"--registry": "auto\nmemory\nconsul\nstatic\n",
		"--network":  "auto\nmemory\ntcp\n",
		"--balance":  strings.Join(policy.Names(), "\n") + "\n",
		"--log":      "auto\ntext\njson\n",
	} {
		text, err := program(cobra.ShellCompNoDescRequestCmd, "serve", flag, "")
		require.NoError(t, err)
		require.Contains(t, text, want, flag)
	}
}
