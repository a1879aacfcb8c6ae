package twin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A Config says what the twin is built from, and where it is kept. The zero
// value is the default.
type Config struct {
	Dir   string    // within the module of the program; empty: the working directory
	Main  string    // package to build; empty: that at the module's root
	Cache string    // where twins are kept; empty: app/sim in the user's cache directory
	Keep  int       // twins of older sources that are kept; 0 means 3
	Edits []Edit    // what the overlay changes; nil means Edits()
	Say   io.Writer // hears of a build, which takes up to a minute; nil: nobody
}

// A NoTwinError tells why there can be no exact twin here.
type NoTwinError struct{ Err error }

// Error says what is missing.
func (e *NoTwinError) Error() string { return "build the exact twin: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *NoTwinError) Unwrap() error { return e.Err }

// Build returns the path of the twin of the source in cfg.Dir, and builds it
// where there is none yet. Its errors are *NoTwinError.
func Build(ctx context.Context, cfg Config) (string, error) {
	b, err := find(ctx, cfg)
	if err != nil {
		return "", &NoTwinError{err}
	}
	if _, err := os.Stat(b.program()); err == nil {
		now := time.Now()
		_ = os.Chtimes(b.dir(), now, now) // only to know which twin is the oldest
		return b.program(), nil
	}
	if err := b.build(ctx); err != nil {
		return "", &NoTwinError{err}
	}
	return b.program(), nil
}

// Toolchain writes an overlay to dir, and returns the go command, its flags and
// the environment that compile with it. Its errors are *NoTwinError.
func Toolchain(ctx context.Context, cfg Config, dir string) (gocmd string, flags, env []string, err error) {
	b, err := find(ctx, cfg)
	if err != nil {
		return "", nil, nil, &NoTwinError{err}
	}
	if gocmd, flags, env, err = b.compiler(dir); err != nil {
		return "", nil, nil, &NoTwinError{err}
	}
	return gocmd, flags, env, nil
}

// compiler is how to compile with an overlay, which it writes to dir.
func (b *build) compiler(dir string) (gocmd string, flags, env []string, err error) {
	goroot, env, err := b.goroot(dir)
	if err != nil {
		return "", nil, nil, err
	}
	overlay, err := Overlay(goroot, b.env.GOVERSION, filepath.Join(dir, "overlay"), b.Edits)
	return filepath.Join(goroot, "bin", "go"), []string{"-trimpath", "-buildvcs=false", "-tags=simexact", "-overlay=" + overlay}, env, err
}

// A build is one twin: its toolchain, its source and its place.
type build struct {
	Config
	env toolchain
	key string // of all that the twin depends on
}

// A toolchain is what `go env` says.
type toolchain struct{ GOROOT, GOVERSION, GOMOD, GOMODCACHE, GOOS, GOARCH string }

func find(ctx context.Context, cfg Config) (*build, error) {
	out, err := run(ctx, cfg.Dir, nil, "go", "env", "-json", "GOROOT", "GOVERSION", "GOMOD", "GOMODCACHE", "GOOS", "GOARCH")
	if errors.Is(err, exec.ErrNotFound) {
		return nil, errors.New("there is no go command here, and the twin is built from source")
	}
	b := &build{Config: cfg}
	if err == nil {
		err = json.Unmarshal(out, &b.env)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask for the toolchain: %w", err)
	case b.env.GOMOD == "" || b.env.GOMOD == os.DevNull:
		return nil, errors.New("the working directory is not in the program's source")
	case b.env.GOVERSION != runtime.Version():
		return nil, fmt.Errorf("the go command here is %s, this program was built with %s", b.env.GOVERSION, runtime.Version())
	case b.env.GOOS != runtime.GOOS || b.env.GOARCH != runtime.GOARCH:
		return nil, fmt.Errorf("the go command is set to build for %s/%s, and this is %s/%s: unset GOOS and GOARCH", b.env.GOOS, b.env.GOARCH, runtime.GOOS, runtime.GOARCH)
	case b.env.GOARCH != "amd64" && b.env.GOARCH != "arm64":
		return nil, fmt.Errorf("there is none for %s yet: it changes Go's assembly of amd64 and arm64", b.env.GOARCH)
	}
	if b.Cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("find a place to keep it: %w", err)
		}
		b.Cache = filepath.Join(dir, "app", "sim")
	}
	if b.Keep == 0 {
		b.Keep = 3
	}
	if b.Edits == nil {
		b.Edits = Edits()
	}
	if b.Main == "" {
		b.Main = "."
	}
	b.key, err = b.sum()
	return b, err
}

func (b *build) root() string    { return filepath.Dir(b.env.GOMOD) }
func (b *build) dir() string     { return filepath.Join(b.Cache, b.env.GOVERSION, b.key) }
func (b *build) program() string { return filepath.Join(b.dir(), "app") }

// sum is a hash of the source and of all that makes a difference beside it.
func (b *build) sum() (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, b.env.GOVERSION, b.env.GOOS, b.env.GOARCH, b.Main, added)
	for _, e := range b.Edits {
		fmt.Fprintf(h, "%q\n", e)
	}
	root := os.DirFS(b.root())
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (d.Name()[0] == '.' || d.Name() == "testdata" || d.Name() == "node_modules"):
			return fs.SkipDir
		case !d.Type().IsRegular() || d.Name()[0] == '.' || strings.HasSuffix(path, "_test.go") || path == "app":
			return nil
		}
		text, err := fs.ReadFile(root, path)
		fmt.Fprintf(h, "%s %x\n", path, sha256.Sum256(text))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the source: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

// build builds the twin beside its place and moves it there: a build that was
// broken off, or two at once, do no harm.
func (b *build) build(ctx context.Context) error {
	if err := os.MkdirAll(b.Cache, 0o700); err != nil {
		return fmt.Errorf("make a place to keep it: %w", err)
	}
	work, err := os.MkdirTemp(b.Cache, "build-")
	if err != nil {
		return fmt.Errorf("make a place to build: %w", err)
	}
	defer os.RemoveAll(work)
	gocmd, flags, env, err := b.compiler(work)
	if err != nil {
		return err
	}
	if b.Say != nil {
		fmt.Fprintln(b.Say, "building the exact twin of this source; the first one takes about a minute")
	}
	begin := time.Now()
	program := filepath.Join(work, "twin", "app")
	if _, err := run(ctx, b.root(), env, gocmd, append(append([]string{"build"}, flags...), "-o="+program, b.Main)...); err != nil {
		return err
	}
	if b.Say != nil {
		fmt.Fprintf(b.Say, "built in %v\n", time.Since(begin).Round(100*time.Millisecond))
	}
	if err := os.MkdirAll(filepath.Dir(b.dir()), 0o700); err != nil {
		return fmt.Errorf("keep it: %w", err)
	}
	if err := os.Rename(filepath.Dir(program), b.dir()); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, there := os.Stat(b.program()); there != nil {
			return fmt.Errorf("keep it: %w", err)
		}
	}
	b.forget()
	return nil
}

// goroot is where the standard library is, and the environment to build in. The
// go command refuses to overlay files in the module cache, where a toolchain is
// that it fetched itself; by a link it does.
func (b *build) goroot(work string) (string, []string, error) {
	env := []string{"GOFLAGS=-mod=readonly", "GOWORK=off", "CGO_ENABLED=0", "GOTOOLCHAIN=local", "GOEXPERIMENT="}
	if !strings.HasPrefix(b.env.GOROOT, b.env.GOMODCACHE+string(filepath.Separator)) {
		return b.env.GOROOT, env, nil
	}
	link := filepath.Join(work, "goroot")
	if err := os.Symlink(b.env.GOROOT, link); err != nil {
		return "", nil, fmt.Errorf("reach the toolchain: %w", err)
	}
	return link, append(env, "GOROOT="+link), nil
}

// forget removes the twins of sources that were used longest ago.
func (b *build) forget() {
	all, _ := filepath.Glob(filepath.Join(b.Cache, "*", "*", "app"))
	age := func(path string) time.Time {
		info, err := os.Stat(filepath.Dir(path))
		if err != nil {
			return time.Time{}
		}
		return info.ModTime()
	}
	slices.SortFunc(all, func(x, y string) int { return age(y).Compare(age(x)) })
	for i, path := range all {
		if i > b.Keep {
			_ = os.RemoveAll(filepath.Dir(path)) // it is only a cache
		}
	}
}

// run runs a command in dir, and makes an error of what it says where it fails.
func run(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", filepath.Base(name), args[0], err, strings.TrimSpace(said.String()))
	}
	return out, nil
}
