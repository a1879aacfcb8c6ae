package consultest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// margin is how long before its deadline a test stops building, so that it can
// still say what to do.
const margin = 15 * time.Second

// program returns the path of a consul to run, built if need be.
func program(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("a real Consul takes seconds to start and minutes to build: not under -short")
	}
	if bin := os.Getenv("CONSUL_BIN"); bin != "" {
		return bin
	}
	if bin, err := exec.LookPath("consul"); err == nil {
		return bin
	}
	module, version, err := pinned()
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatalf("find a place to keep consul: %v; set CONSUL_BIN to a consul program", err)
	}
	bin := filepath.Join(cache, "app", "consul", version, "consul")
	if exists(bin) {
		return bin
	}
	if err := buildOnce(t, module, bin); err != nil {
		t.Fatal(err)
	}
	return bin
}

func exists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// pinned finds the module above the working directory that says which consul
// to build, and the version.
func pinned() (module, version string, err error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		module = filepath.Join(dir, ".tools", "consul")
		mod, err := os.ReadFile(filepath.Join(module, "go.mod"))
		if err == nil {
			m := regexp.MustCompile(`(?m)^\s*github\.com/hashicorp/consul (v\S+)`).FindSubmatch(mod)
			if m == nil {
				return "", "", fmt.Errorf("%s/go.mod pins no github.com/hashicorp/consul", module)
			}
			return module, string(m[1]), nil
		}
		if dir == filepath.Dir(dir) {
			return "", "", fmt.Errorf("find .tools/consul/go.mod above the test: %w", err)
		}
	}
}

// buildOnce builds bin unless another process does so first.
func buildOnce(t testing.TB, module, bin string) error {
	ctx := t.Context()
	if d, ok := t.(interface{ Deadline() (time.Time, bool) }); ok {
		if deadline, ok := d.Deadline(); ok {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin))
			defer cancel()
		}
	}
	if err := os.MkdirAll(filepath.Dir(bin), 0o755); err != nil {
		return fmt.Errorf("build consul: %w", err)
	}
	unlock, err := lock(ctx, bin+".lock")
	if err != nil {
		return later(ctx, fmt.Errorf("wait for another build of consul: %w", err))
	}
	defer unlock()
	if exists(bin) {
		return nil
	}
	return later(ctx, build(ctx, t, module, bin))
}

// lock takes a lock between processes, or gives up with ctx.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	type result struct {
		unlock func()
		err    error
	}
	got := make(chan result)
	go func() {
		unlock, err := lockedfile.MutexAt(path).Lock()
		select {
		case got <- result{unlock, err}:
		case <-ctx.Done():
			if err == nil {
				unlock()
			}
		}
	}()
	select {
	case r := <-got:
		return r.unlock, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// build compiles consul into place. The compiler's cache keeps what was done
// when it is cut short.
func build(ctx context.Context, t testing.TB, module, bin string) error {
	_, _ = fmt.Fprintln(os.Stderr, "building a Consul agent for the tests, once: this takes some minutes")
	start := time.Now()
	cmd := exec.CommandContext(ctx, "go", "build", "-C", module, "-o", bin+".tmp", "github.com/hashicorp/consul")
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // go then ends its compilers
	cmd.WaitDelay = margin / 3                                            // and if it does not, go on without it
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build consul in %s: %w\n%s", module, err, out)
	}
	t.Logf("built %s in %s", bin, time.Since(start).Round(time.Second))
	return os.Rename(bin+".tmp", bin)
}

// later adds to an error that came with the deadline what to do about it.
func later(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("the time of this test is up before Consul is built: run the same command again, "+
		"the build continues where it stopped (%w)", err)
}
