// Package consultest runs real Consul agents for tests.
//
// The program is $CONSUL_BIN, or consul on PATH, or one that was built before,
// or one that is built now from the module proxy (minutes, once for a user).
// Consul's licence (BUSL-1.1) lets it be a peer of tests; it is never part of
// what is shipped.
package consultest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// A Server is one agent in development mode: server and client in one, with
// its state in memory. Its methods belong to the goroutine of the test.
type Server struct {
	t        testing.TB
	bin      string
	settings Settings
	ports    map[string]int // by flag of consul agent
	log      string         // path of its output
	cmd      *exec.Cmd      // nil while stopped
	ended    chan struct{}  // closed when cmd has
}

// Settings are how an agent differs from one in development mode.
type Settings struct {
	Config string // in HCL, on top of what development mode sets
	HTTPS  bool   // serve the API over TLS too; Config says with which certificate
	Token  string // that may do everything, where Config turns ACLs on
}

// portFlags are all the ports that an agent listens on.
func portFlags() []string {
	return []string{"http-port", "grpc-port", "grpc-tls-port", "serf-lan-port", "serf-wan-port", "server-port"}
}

// tries is how often other ports are tried: between being found free and being
// listened on, a port may be taken by somebody else.
const tries = 5

// Agent starts an agent on free ports of the loopback interface and waits
// until it has a leader. It is killed at the end of the test. Under -short the
// test is skipped.
func Agent(t testing.TB) *Server {
	t.Helper()
	return Configured(t, Settings{})
}

// Configured is Agent with settings.
func Configured(t testing.TB, settings Settings) *Server {
	t.Helper()
	s := &Server{t: t, bin: program(t), settings: settings, log: filepath.Join(t.TempDir(), "consul.log")}
	t.Cleanup(s.end)
	flags := portFlags()
	if settings.HTTPS {
		flags = append(flags, "https-port")
	}
	for range tries {
		s.ports = freePorts(t, flags)
		if s.start() {
			return s
		}
	}
	t.Fatalf("consul agent did not start %d times", tries)
	return nil
}

// Addr is the host:port of the HTTP API.
func (s *Server) Addr() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.ports["http-port"]))
}

// HTTPS is the host:port of the API over TLS.
func (s *Server) HTTPS() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.ports["https-port"]))
}

// API is the configuration of a client, free of the environment's token. It
// has the token of the settings.
func (s *Server) API() *api.Config {
	return &api.Config{Address: s.Addr(), Scheme: "http", Token: s.settings.Token}
}

// Client is a client of the agent, to look behind the back of the code under
// test.
func (s *Server) Client() *api.Client {
	s.t.Helper()
	c, err := api.NewClient(s.API())
	if err != nil {
		s.t.Fatalf("consul client: %v", err)
	}
	return c
}

// Start starts a stopped agent again on the same ports, with no memory.
func (s *Server) Start() {
	s.t.Helper()
	if s.cmd == nil && !s.start() {
		s.t.Fatalf("consul agent did not start again at %s", s.Addr())
	}
}

// Stop kills the agent, as a crash would.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.ended
	s.cmd = nil
}

// end stops the agent and shows its log if the test has failed.
func (s *Server) end() {
	s.Stop()
	if !s.t.Failed() {
		return
	}
	if log, err := os.ReadFile(s.log); err == nil {
		s.t.Logf("end of the agent's log:\n%s", log[max(0, len(log)-8<<10):])
	}
}

// start starts the agent and reports whether it got a leader.
func (s *Server) start() bool {
	s.t.Helper()
	out, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatalf("log of consul agent: %v", err)
	}
	defer func() { _ = out.Close() }()
	args := []string{"agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1", "-dns-port=-1", "-log-level=info"}
	for flag, port := range s.ports {
		args = append(args, fmt.Sprintf("-%s=%d", flag, port))
	}
	if s.settings.Config != "" {
		path := filepath.Join(s.t.TempDir(), "consul.hcl")
		if err := os.WriteFile(path, []byte(s.settings.Config), 0o600); err != nil {
			s.t.Fatalf("configure consul agent: %v", err)
		}
		args = append(args, "-config-file="+path)
	}
	s.cmd = exec.Command(s.bin, args...)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	s.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CONSUL_") })
	if err := s.cmd.Start(); err != nil {
		s.t.Fatalf("start %s: %v", s.bin, err)
	}
	s.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		defer close(ended)
		_ = cmd.Wait()
	}(s.cmd, s.ended)
	if !s.led() {
		s.Stop()
		return false
	}
	return true
}

// led waits until the agent can list services. It reports false when the agent
// ended, as it does when a port is taken.
func (s *Server) led() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, tick := s.Client(), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		nodes, _, err := client.Catalog().Nodes((&api.QueryOptions{RequireConsistent: true}).WithContext(ctx))
		if err == nil && len(nodes) > 0 {
			return true
		}
		select {
		case <-tick.C:
		case <-s.ended:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// freePorts finds a port for each flag that nobody listens on now.
func freePorts(t testing.TB, flags []string) map[string]int {
	t.Helper()
	ports := map[string]int{}
	for _, flag := range flags {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatalf("find a free port: %v", err)
		}
		defer func() { _ = l.Close() }() // all are held until the last is found
		ports[flag] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}
