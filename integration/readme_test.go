package integration

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/sim/twin"
)

// A step is a command that the README shows, and what it shows of its output.
type step struct{ command, output string }

// steps finds the commands of a document: lines that begin with "$ " in blocks
// marked console.
func steps(document string) []step {
	var all []step
	for _, block := range regexp.MustCompile("(?ms)^```console\n(.*?)^```$").FindAllStringSubmatch(document, -1) {
		for line := range strings.Lines(block[1]) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				all = append(all, step{command: strings.TrimSpace(command)})
			} else {
				all[len(all)-1].output += line
			}
		}
	}
	return all
}

// TestREADMECommandsDoWhatItShows runs the README's commands in their order.
// Only the ports are others, so that it can run beside anything, and the
// program is built once. Numbers may differ, and "…" stands for anything.
func TestREADMECommandsDoWhatItShows(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	all := steps(string(readme))
	require.Greater(t, len(all), 5, "commands found in README.md")

	program := filepath.Join(program(t), "app")
	web, admin := freeAddr(t), freeAddr(t)
	here := strings.NewReplacer("go run .", program, "localhost:8080", web, "localhost:9090", admin)
	home := t.TempDir()
	env := append(os.Environ(), "APP_HTTP="+web, "APP_ADMIN="+admin, "APP_ISSUER=http://"+strings.Replace(web, "127.0.0.1", "localhost", 1),
		"XDG_STATE_HOME="+home, "XDG_CACHE_HOME="+home, "GOCACHE="+goEnv(t, "GOCACHE"))
	for _, s := range all {
		cmd := exec.Command("sh", "-c", "exec "+here.Replace(s.command))
		cmd.Env = env
		if name, command, ok := strings.Cut(s.command, "=$("); ok && !strings.Contains(name, " ") {
			cmd = exec.Command("sh", "-c", "exec "+here.Replace(strings.TrimSuffix(command, ")")))
			cmd.Env = env
			out, err := cmd.Output()
			require.NoError(t, err, s.command)
			env = append(env, name+"="+strings.TrimSpace(string(out)))
			continue
		}
		if strings.Contains(s.command, " serve ") {
			background(t, cmd)
			waitFor(t, "http://"+admin+"/readyz")
			continue
		}
		out, err := cmd.Output()
		if strings.HasPrefix(s.output, "FAIL") { // it shows how a failure looks, and must be one
			require.ErrorAs(t, err, new(*exec.ExitError), s.command)
		} else {
			require.NoError(t, err, s.command)
		}
		require.Regexp(t, pattern(s.output), strings.TrimSpace(string(out)), s.command)
	}
}

// pattern matches what a command prints where the README shows this.
func pattern(shown string) string {
	p := regexp.QuoteMeta(strings.TrimSpace(shown))
	p = regexp.MustCompile(` +`).ReplaceAllString(p, " +")
	p = regexp.MustCompile(`[0-9]+(\\\.[0-9]+)?(µs|ms|ns|s\b)?`).ReplaceAllString(p, `[0-9.]+(µs|ms|ns|s)?`)
	p = regexp.MustCompile(`(?m)^[ +]*…$`).ReplaceAllString(p, `(.|\n)*`) // a line of its own stands for any number of them
	return "^ *" + strings.ReplaceAll(p, "…", ".*") + "$"
}

func TestThePatternOfWhatIsShownCanFail(t *testing.T) {
	require.Regexp(t, pattern("a-1 12.5ms {…}"), "a-2   9µs {x}")
	require.NotRegexp(t, pattern("a-1 12.5ms {…}"), "b-1 12.5ms {x}")
	require.NotRegexp(t, pattern("one"), "one\ntwo")
	require.Regexp(t, pattern("one\n  …\nlast"), "one\ntwo\n three\nlast")
	require.NotRegexp(t, pattern("one\n…\nlast"), "one\ntwo")
}

func background(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stderr = &out
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v\n%s", cmd.Args, err, out.String())
		}
	})
}

func waitFor(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		if status, _ := answer(url, ""); status == http.StatusOK {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			require.FailNow(t, url+" does not answer 200")
		}
	}
}

// goEnv is what `go env` says.
func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

// TestREADMEListsEachEditOfTheTwin compares the table that ablation prints, but
// for its last column.
func TestREADMEListsEachEditOfTheTwin(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	for _, e := range twin.Edits() {
		require.Contains(t, string(readme), "\n"+e.Row()+" | ", "go run ./integration/bench/ablation")
	}
}
