package integration

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A process is a program that runs beside the test, and is killed with it.
type process struct {
	t     *testing.T
	name  string
	bin   string
	args  []string
	env   []string
	log   string
	cmd   *exec.Cmd
	ended chan struct{}
}

// spawn starts a program. Its output is shown if the test fails.
func spawn(t *testing.T, name string, env []string, bin string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, bin: bin, args: args, env: env, log: filepath.Join(t.TempDir(), name+".log")}
	t.Cleanup(func() {
		p.kill()
		if !t.Failed() {
			return
		}
		if out, err := os.ReadFile(p.log); err == nil {
			t.Logf("end of the log of %s:\n%s", name, out[max(0, len(out)-4<<10):])
		}
	})
	p.start()
	return p
}

func (p *process) start() {
	p.t.Helper()
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(p.t, err)
	defer out.Close()
	cmd := exec.Command(p.bin, p.args...)
	cmd.Stdout, cmd.Stderr, cmd.Env = out, out, append(os.Environ(), p.env...)
	require.NoError(p.t, cmd.Start(), p.name)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	p.cmd, p.ended = cmd, ended
}

func (p *process) signal(s os.Signal) { require.NoError(p.t, p.cmd.Process.Signal(s), p.name) }

// kill ends the process as kill -9 does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// stop ends the process as SIGTERM does, and returns its exit code.
func (p *process) stop() int {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		require.FailNow(p.t, p.name+" did not end within a minute of SIGTERM")
	}
	return p.cmd.ProcessState.ExitCode()
}

// ports hands out each port once.
type ports struct {
	mu   sync.Mutex
	next int
}

var handed = new(ports)

// freePorts finds ports on loopback that nobody listens on, each once, and
// none of those that the kernel gives to connections: between being found and
// being listened on, one of them could be given away.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	const low, count, step = 10_000, 21_997, 10 // Linux gives away 32768 and up; what is next to one is free too, for a second instance
	handed.mu.Lock()
	defer handed.mu.Unlock()
	if handed.next == 0 {
		handed.next = os.Getpid() * 97 // away from those of tests that run beside
	}
	var found []int
	for range count {
		handed.next += step
		port := low + handed.next%count
		ln, err := net.Listen("tcp", loopback(port))
		if err != nil {
			continue
		}
		require.NoError(t, ln.Close())
		if found = append(found, port); len(found) == n {
			return found
		}
	}
	require.FailNow(t, "no free port is left")
	return nil
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
