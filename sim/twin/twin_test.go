package twin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/sim/twin"
)

// goroot is where Go's own source is.
func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

func TestEveryAnchorIsInThisVersionOfGo(t *testing.T) {
	dir := t.TempDir()
	path, err := twin.Overlay(goroot(t), runtime.Version(), dir, twin.Edits())
	require.NoError(t, err)
	var overlay struct{ Replace map[string]string }
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &overlay))
	files := map[string]bool{}
	for _, e := range twin.Edits() {
		files[e.File] = true
		require.NotEmpty(t, e.Why)
		changed, err := os.ReadFile(overlay.Replace[filepath.Join(goroot(t), "src", e.File)])
		require.NoError(t, err)
		require.Contains(t, string(changed), e.With, e.File)
	}
	require.Len(t, overlay.Replace, len(files)+1, "and one file is added")
}

func TestAnAnchorThatMovedIsNamed(t *testing.T) {
	root := t.TempDir()
	for _, e := range twin.Edits() {
		to := filepath.Join(root, "src", e.File)
		require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o700))
		text, err := os.ReadFile(filepath.Join(goroot(t), "src", e.File))
		require.NoError(t, err)
		moved := strings.Replace(string(text), `const haveSysmon = GOARCH != "wasm"`, `const haveSysmon = GOARCH != "wasm" && GOOS != "plan10"`, 1)
		require.NoError(t, os.WriteFile(to, []byte(moved), 0o600))
	}
	dir := filepath.Join(t.TempDir(), "overlay")
	_, err := twin.Overlay(root, "go9.99", dir, twin.Edits())
	var anchor *twin.AnchorError
	require.ErrorAs(t, err, &anchor)
	require.Equal(t, "runtime/proc.go", anchor.File)
	require.EqualError(t, err, `go9.99: runtime/proc.go has 0 times, not once, the line "const haveSysmon = GOARCH != \"wasm\""`)
	require.NoDirExists(t, dir, "nothing is guessed, nothing is written")
}

func TestWhereThereIsNoSourceThereIsNoTwin(t *testing.T) {
	_, err := twin.Build(t.Context(), twin.Config{Dir: t.TempDir(), Cache: t.TempDir()})
	var none *twin.NoTwinError
	require.ErrorAs(t, err, &none)
	require.EqualError(t, err, "build the exact twin: the working directory is not in the program's source")
	t.Setenv("GOOS", "plan9")
	_, err = twin.Build(t.Context(), twin.Config{Cache: t.TempDir()})
	require.ErrorContains(t, err, "build the exact twin: the go command is set to build for plan9/")
	t.Setenv("PATH", t.TempDir())
	_, err = twin.Build(t.Context(), twin.Config{Cache: t.TempDir()})
	require.EqualError(t, err, "build the exact twin: there is no go command here, and the twin is built from source")
}

// module is a program of three lines, which says whether it is the twin.
func module(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module example.com/small\n\ngo 1.26\n",
		"main.go": "package main\n\nfunc main() { println(exact) }\n",
		"yes.go":  "//go:build simexact\n\npackage main\n\nconst exact = true\n",
		"no.go":   "//go:build !simexact\n\npackage main\n\nconst exact = false\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

func TestTheTwinIsBuiltOncePerSource(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles the standard library once")
	}
	dir, cache := module(t), t.TempDir()
	var said strings.Builder
	cfg := twin.Config{Dir: dir, Cache: cache, Keep: 1, Say: &said}
	path, err := twin.Build(t.Context(), cfg)
	require.NoError(t, err)
	require.Contains(t, said.String(), "building the exact twin")
	out, err := exec.CommandContext(t.Context(), path).CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "true\n", string(out))

	said.Reset()
	again, err := twin.Build(t.Context(), cfg)
	require.NoError(t, err)
	require.Equal(t, path, again)
	require.Empty(t, said.String(), "it is there already")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "more.go"), []byte("package main\n"), 0o600))
	other, err := twin.Build(t.Context(), cfg)
	require.NoError(t, err)
	require.NotEqual(t, path, other, "another source has another twin")
	left, err := filepath.Glob(filepath.Join(cache, "*"))
	require.NoError(t, err)
	require.Len(t, left, 1, "nothing of the build is left but the twins")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "more.go"), []byte("package wrong\n"), 0o600))
	_, err = twin.Build(t.Context(), cfg)
	require.ErrorContains(t, err, "build the exact twin: go build: exit status 1: ")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = twin.Build(ctx, cfg)
	require.Error(t, err)
	require.True(t, errors.As(err, new(*twin.NoTwinError)))
}

func TestTheEditsCompileOnEveryPlatform(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles package runtime three times")
	}
	path, err := twin.Overlay(goroot(t), runtime.Version(), t.TempDir(), twin.Edits())
	require.NoError(t, err)
	dir := module(t)
	hashes := "package main\n\nfunc main() { println(exact, len(map[any]int{new(int): 1, exact: 2})) }\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(hashes), 0o600))
	for _, platform := range []string{"linux/amd64", "linux/arm64", "darwin/arm64"} {
		goos, goarch, _ := strings.Cut(platform, "/")
		cmd := exec.CommandContext(t.Context(), "go", "build", "-o="+filepath.Join(t.TempDir(), "small"), "-tags=simexact", "-overlay="+path, ".")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", platform, out)
	}
}

func TestMapsOfPointersAreInOneOrderWhereverTheHeapLies(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles the standard library once")
	}
	dir := module(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(`package main

import (
	"fmt"
	"os"
	"sync"
)

type thing struct {
	n    int
	name string
}

var moved []any // lies where what comes would

func main() {
	for _, s := range os.Environ() {
		moved = append(moved, []byte(s), new(thing))
	}
	pointers, faces, keys := map[*thing]int{}, map[any]int{}, map[struct { *thing; n int }]int{}
	var shared sync.Map
	for i := range 50 {
		t := &thing{n: i}
		pointers[t], faces[t], keys[struct { *thing; n int }{t, i}] = i, i, i
		shared.Store(t, i)
	}
	if exact {
		fmt.Print("exact")
	}
	for _, i := range pointers {
		fmt.Print(" ", i)
	}
	for _, i := range faces {
		fmt.Print(" ", i)
	}
	for _, i := range keys {
		fmt.Print(" ", i)
	}
	shared.Range(func(_, i any) bool {
		fmt.Print(" ", i)
		return true
	})
}
`), 0o600))
	path, err := twin.Build(t.Context(), twin.Config{Dir: dir, Cache: t.TempDir()})
	require.NoError(t, err)
	first := ""
	for i := range 20 {
		cmd := exec.CommandContext(t.Context(), path)
		cmd.Env = twin.Env()
		for j := range i {
			cmd.Env = append(cmd.Env, fmt.Sprintf("PADDING%d=%s", j, strings.Repeat("x", 97*j)))
		}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err)
		if i == 0 {
			first = string(out)
		}
		require.Equal(t, first, string(out), "with %d variables more in the environment", i)
	}
	require.Contains(t, first, "exact")
}

func TestTheTwinRunsOnOneProcessorAndCollectsNothingByItself(t *testing.T) {
	t.Setenv("GOMAXPROCS", "7")
	t.Setenv("GODEBUG", "gctrace=1")
	env := twin.Env()
	require.Contains(t, env, "GOMAXPROCS=1")
	require.Contains(t, env, "GOGC=off")
	require.NotContains(t, env, "GOMAXPROCS=7")
	require.NotContains(t, env, "GODEBUG=gctrace=1")
	require.ErrorContains(t, twin.Check(), "the exact twin needs GOMAXPROCS=1 and GOGC=off")
	t.Setenv("GOMAXPROCS", "1")
	t.Setenv("GOGC", "off")
	require.NoError(t, twin.Check())
}
