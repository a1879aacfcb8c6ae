package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A yard is where the proxies are measured: the backends, and a folder for
// configurations.
type yard struct {
	plan     plan
	dir      string
	self     string
	backends []string
	running  []*exec.Cmd
	admin    string // of app, where a profile is wanted
}

// A subject is a proxy that is measured.
type subject struct {
	name    string
	program string // looked up, or built, before args
	missing string // the command that gets the program
	config  string // its configuration file; empty: none
	args    func(config, addr string) []string

	addr  string
	cmd   *exec.Cmd
	turns []turn
}

// median is that of a figure of all turns.
func (s *subject) median(of func(turn) float64) float64 {
	var all []float64
	for _, t := range s.turns {
		all = append(all, of(t))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// newYard starts the backends.
func newYard(ctx context.Context, p plan) (*yard, error) {
	dir, err := os.MkdirTemp("", "proxy-bench")
	if err != nil {
		return nil, err
	}
	y := &yard{plan: p, dir: dir}
	if y.self, err = os.Executable(); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, y.self, "backends", fmt.Sprintf("%d,%d", p.backends, p.size)) //nolint:gosec // this very program
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	y.running = append(y.running, cmd)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		y.close()
		return nil, fmt.Errorf("start the backends: %w", err)
	}
	y.backends = strings.Fields(line)
	return y, nil
}

func (y *yard) close() {
	for _, cmd := range y.running {
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, cmd := range y.running {
		patience := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		patience.Stop()
	}
	_ = os.RemoveAll(y.dir)
}

// start starts a subject, and returns when it answers.
func (y *yard) start(ctx context.Context, s *subject) error {
	program, err := exec.LookPath(s.program)
	if err != nil {
		program, err = exec.LookPath(filepath.Join("/usr/sbin", s.program))
	}
	if err != nil {
		return fmt.Errorf("%s is not installed; get it with: %s", s.program, s.missing)
	}
	s.missing = ""
	if s.addr, err = freeAddr(ctx); err != nil {
		return err
	}
	file := filepath.Join(y.dir, s.name+".conf")
	text := strings.ReplaceAll(strings.ReplaceAll(s.config, "LISTEN", s.addr), "DIR", y.dir)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(y.dir, s.name+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = exec.CommandContext(ctx, program, s.args(file, s.addr)...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.Env = append(os.Environ(), "HOME="+y.dir, "XDG_DATA_HOME="+y.dir, "XDG_CONFIG_HOME="+y.dir)
	if err := s.cmd.Start(); err != nil {
		return err
	}
	y.running = append(y.running, s.cmd)
	var last error
	for range 200 {
		if last = ask(ctx, s.addr, y.plan.size); last == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	said, _ := os.ReadFile(log.Name())
	return fmt.Errorf("start %s: %w\n%s", s.name, last, said)
}

// takeProfile writes a profile of app.
func (y *yard) takeProfile(ctx context.Context) {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", y.admin, max(1, int(y.plan.turn.Seconds())-1))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err == nil {
		var res *http.Response
		if res, err = http.DefaultClient.Do(req); err == nil {
			defer res.Body.Close()
			var body []byte
			if body, err = io.ReadAll(res.Body); err == nil {
				err = os.WriteFile(y.plan.profile, body, 0o600)
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
	}
}

func freeAddr(ctx context.Context) (string, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// used is the processor time of a process and of its children.
func used(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	rest := string(text[strings.LastIndexByte(string(text), ')')+2:])
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("/proc/PID/stat has too few fields")
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, err
	}
	sum := time.Duration(user+system) * time.Second / 100 // USER_HZ
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, err
	}
	for field := range strings.FieldsSeq(string(children)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			return 0, err
		}
		more, err := used(child)
		if err != nil {
			return 0, err
		}
		sum += more
	}
	return sum, nil
}
