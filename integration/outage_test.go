package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/app"
	"example.com/app/platform/network"
	"example.com/app/platform/registry/consul"
	"example.com/app/platform/registry/consul/consultest"
	"example.com/app/platform/telemetry"
	"example.com/app/sim/load"
)

// A cluster is three Consul servers and a client agent, as separate processes
// on loopback.
type cluster struct {
	t       *testing.T
	servers []*process
	agent   *process
	dir     string   // of the agent's state
	web     []string // HTTP addresses: of the servers, then of the agent
	raft    []string // addresses by which the servers know each other
	clients []*api.Client
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	bin := consultest.Program(t)
	const hosts, each = 4, 6
	ports := freePorts(t, hosts*each)
	var join []string
	for i := range hosts - 1 {
		join = append(join, fmt.Sprintf("-retry-join=127.0.0.1:%d", ports[i*each]))
	}
	c := &cluster{t: t}
	for i := range hosts {
		p, dir := ports[i*each:(i+1)*each], t.TempDir()
		args := append([]string{
			"agent", fmt.Sprintf("-node=consul-%d", i), "-data-dir=" + dir, "-bind=127.0.0.1", "-client=127.0.0.1", "-dns-port=-1", "-log-level=warn",
			fmt.Sprintf("-serf-lan-port=%d", p[0]), fmt.Sprintf("-serf-wan-port=%d", p[1]), fmt.Sprintf("-server-port=%d", p[2]),
			fmt.Sprintf("-http-port=%d", p[3]), fmt.Sprintf("-grpc-port=%d", p[4]), fmt.Sprintf("-grpc-tls-port=%d", p[5]),
			"-hcl=performance { raft_multiplier = 1 }", "-hcl=disable_update_check = true", "-hcl=connect { enabled = true }",
			"-hcl=leave_on_terminate = false", "-hcl=skip_leave_on_interrupt = true",
			"-retry-interval=1s",
		}, join...)
		c.web, c.raft = append(c.web, loopback(p[3])), append(c.raft, loopback(p[2]))
		client, err := api.NewClient(&api.Config{Address: loopback(p[3]), Scheme: "http"})
		require.NoError(t, err)
		c.clients = append(c.clients, client)
		if i < hosts-1 {
			c.servers = append(c.servers, spawn(t, fmt.Sprintf("consul-%d", i), nil, bin, append(args, "-server", "-bootstrap-expect=3")...))
		} else {
			c.agent, c.dir = spawn(t, "consul-agent", nil, bin, args...), dir
		}
	}
	c.eventually(time.Minute, "the agent knows a leader", func() bool { return c.leader() >= 0 && c.ready() })
	return c
}

func (c *cluster) client(i int) *api.Client { return c.clients[i] }

// ready says whether the agent gets answers from the servers.
func (c *cluster) ready() bool {
	_, _, err := c.client(len(c.servers)).Catalog().Services(nil)
	return err == nil
}

// leader is the number of the server that leads, as the others see it; -1
// where there is none.
func (c *cluster) leader() int {
	for i := range c.servers {
		addr, err := c.client(i).Status().Leader()
		if err != nil || addr == "" {
			continue
		}
		if at := slices.Index(c.raft, addr); at >= 0 {
			return at
		}
	}
	return -1
}

func (c *cluster) eventually(within time.Duration, what string, so func() bool) {
	c.t.Helper()
	(&world{t: c.t}).eventually(within, what, so)
}

// A record is what became of a load while something happened.
type record struct {
	mu     sync.Mutex
	calls  int
	failed int
	first  error
	worst  time.Duration
	last   map[string]time.Time // when an instance answered last, by its id
	begun  map[string]time.Time // when it answered first
}

func (r *record) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls, r.failed, r.first, r.worst = 0, 0, nil, 0
}

func (r *record) add(answer string, took time.Duration, err error) {
	var greeting struct{ ServedBy string }
	if err == nil {
		err = json.Unmarshal([]byte(answer), &greeting)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	r.worst = max(r.worst, took)
	if err != nil {
		r.failed++
		if r.first == nil {
			r.first = err
		}
		return
	}
	now := time.Now()
	r.last[greeting.ServedBy] = now
	if _, ok := r.begun[greeting.ServedBy]; !ok {
		r.begun[greeting.ServedBy] = now
	}
}

// answers is when an instance answered, for the first or the last time.
func (r *record) answers(of map[string]time.Time, id string) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return of[id]
}

// processes are those of app, by name.
type processes struct {
	t    *testing.T
	bin  string
	env  []string
	up   map[string]*process
	args map[string][]string
}

// names tell the role of each process and which it is.
func (f *processes) start(name string) {
	f.t.Helper()
	if p, ok := f.up[name]; ok {
		p.start()
		return
	}
	role := name[:strings.LastIndexByte(name, '-')]
	admin := freePorts(f.t, 1)[0]
	f.args[name] = []string{"http://" + loopback(admin) + "/readyz"}
	f.up[name] = spawn(f.t, name, append(f.env, "APP_ZONE="+name), f.bin, "serve", "--role="+role,
		"--grpc=127.0.0.1:0", "--http=127.0.0.1:0", "--admin="+loopback(admin), "--drain=2s", "--log=text")
}

// await waits until processes say that they are ready.
func (f *processes) await(names ...string) {
	f.t.Helper()
	for _, name := range names {
		waitFor(f.t, f.args[name][0])
	}
}

// TestNoCallIsLostWhateverHappensToConsulOrToAnInstance runs the system as
// separate processes over a real Consul cluster, under constant load through
// HTTP, and breaks one thing after the other. It prints what each cost.
func TestNoCallIsLostWhateverHappensToConsulOrToAnInstance(t *testing.T) {
	c := newCluster(t)
	f := &processes{
		t: t, bin: filepath.Join(program(t), "app"), up: map[string]*process{}, args: map[string][]string{},
	}
	secrets := t.TempDir()
	f.env = []string{"CONSUL_HTTP_ADDR=" + c.web[len(c.servers)], "APP_PUBLIC_URL=http://localhost:8080", "APP_ISSUER_DIR=" + secrets}
	everybody := []string{"issuer-1", "phrasebook-1", "phrasebook-2", "greeter-1", "greeter-2", "greeter-3", "gateway-1", "gateway-2"}
	for _, name := range everybody {
		f.start(name)
	}
	f.await(everybody...)

	// The users outside find the gateways as any balancer in front would.
	reg, err := consul.New(consul.Config{API: &api.Config{Address: c.web[len(c.servers)], Scheme: "http"}})
	require.NoError(t, err)
	user := load.NewUser(new(network.TCP), 10*time.Second)
	secret, err := os.ReadFile(filepath.Join(secrets, "demo.secret"))
	require.NoError(t, err)
	user.LogIn(app.Client{ID: "demo", Secret: telemetry.Secret(strings.TrimSpace(string(secret)))})
	ctx, stop := context.WithCancel(t.Context())
	var side sync.WaitGroup
	t.Cleanup(side.Wait)
	t.Cleanup(stop)
	side.Go(func() { user.Run(ctx, reg) })
	r := &record{last: map[string]time.Time{}, begun: map[string]time.Time{}}
	side.Go(func() {
		asked := load.Load{Calls: load.Requests("GET /v1/greetings/Ada"), Arrivals: load.Steady(100), Duration: time.Hour}
		asked.Each(ctx, func(_ int, c load.Call) {
			begin := time.Now()
			answer, err := user.Get(ctx, strings.TrimPrefix(c.Name, "GET "))
			if ctx.Err() == nil {
				r.add(answer, time.Since(begin), err)
			}
		})
	})
	settle := func() {
		r.mu.Lock()
		from := r.calls
		r.mu.Unlock()
		c.eventually(30*time.Second, "300 more calls", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.calls > from+300 })
	}
	settle()
	_, err = user.Send(ctx, http.MethodGet, "/v1/greetings/Ada", "", http.Header{"Authorization": {"Bearer x.y.z"}})
	var refused *load.StatusError
	require.ErrorAs(t, err, &refused, "all of this is with certificates, tokens and rules")
	require.Equal(t, http.StatusUnauthorized, refused.Status)

	happens := func(what string, allowed int, f func() string) {
		t.Run(what, func(t *testing.T) {
			r.reset()
			begin := time.Now()
			note := f()
			settle()
			r.mu.Lock()
			defer r.mu.Unlock()
			t.Logf("%-28s %6d calls in %5.1fs, %d failed, worst %v%s", what, r.calls, time.Since(begin).Seconds(), r.failed, r.worst.Round(time.Millisecond), note)
			require.LessOrEqual(t, r.failed, allowed, "first: %v", r.first)
		})
	}

	happens("kill -9 a greeter", 0, func() string {
		id, killed := c.id("greeter", "greeter-2"), time.Now()
		f.up["greeter-2"].kill()
		settle()
		quiet := r.answers(r.last, id).Sub(killed)
		started := time.Now()
		f.start("greeter-2")
		f.await("greeter-2")
		id = c.id("greeter", "greeter-2")
		settle()
		return fmt.Sprintf(", no answer from it after %v, first from its successor %v after its start",
			max(0, quiet).Round(time.Millisecond), r.answers(r.begun, id).Sub(started).Round(time.Millisecond))
	})
	happens("SIGTERM a greeter", 0, func() string {
		code := f.up["greeter-3"].stop()
		require.Zero(t, code, "a clean stop")
		f.start("greeter-3")
		f.await("greeter-3")
		return ""
	})
	happens("rolling restart of everything", 0, func() string {
		for _, name := range everybody {
			require.Zero(t, f.up[name].stop(), name)
			f.start(name)
			f.await(name)
		}
		return ""
	})
	happens("kill -9 the issuer", 0, func() string {
		f.up["issuer-1"].kill()
		settle()
		f.start("issuer-1")
		f.await("issuer-1")
		return ""
	})
	happens("the leader of Consul stops", 0, func() string {
		old := c.leader()
		c.servers[old].kill()
		gone := time.Now()
		c.eventually(time.Minute, "another leads", func() bool { l := c.leader(); return l >= 0 && l != old })
		note := fmt.Sprintf(", another led after %v", time.Since(gone).Round(100*time.Millisecond))
		c.servers[old].start()
		return note
	})
	happens("all of Consul stops for 60 s", 0, func() string {
		for _, p := range append(c.servers[:len(c.servers):len(c.servers)], c.agent) {
			p.kill()
		}
		over := time.NewTimer(60 * time.Second)
		<-over.C
		for _, p := range append(c.servers[:len(c.servers):len(c.servers)], c.agent) {
			p.start()
		}
		back := time.Now()
		c.eventually(time.Minute, "Consul is back", c.ready)
		led := time.Since(back)
		c.eventually(time.Minute, "every instance is listed", c.whole)
		return fmt.Sprintf(", Consul answered after %v, all listed after %v", led.Round(100*time.Millisecond), time.Since(back).Round(100*time.Millisecond))
	})
	happens("the agent loses its state", 0, func() string {
		c.agent.kill()
		require.NoError(t, os.RemoveAll(c.dir))
		require.NoError(t, os.MkdirAll(c.dir, 0o700))
		c.agent.start()
		back := time.Now()
		c.eventually(time.Minute, "Consul is back", c.ready)
		c.eventually(time.Minute, "every instance is listed", c.whole)
		return fmt.Sprintf(", all listed after %v", time.Since(back).Round(100*time.Millisecond))
	})
	happens("a greeter hangs (SIGSTOP)", 20, func() string {
		f.up["greeter-1"].signal(syscall.SIGSTOP)
		settle()
		f.up["greeter-1"].signal(syscall.SIGCONT)
		return ""
	})
}

// id is that of the youngest instance of a role in a zone: each process has
// one of its own.
func (c *cluster) id(role, zone string) string {
	c.t.Helper()
	entries, _, err := c.client(len(c.servers)).Health().Service(role, "", true, nil)
	require.NoError(c.t, err)
	id, youngest := "", ""
	for _, e := range entries {
		if e.Service.Meta["zone"] == zone && e.Service.Meta["started"] > youngest {
			id, youngest = e.Service.ID, e.Service.Meta["started"]
		}
	}
	return id
}

// whole says whether every instance is listed.
func (c *cluster) whole() bool {
	return c.listed("issuer") == 1 && c.listed("phrasebook") == 2 && c.listed("greeter") == 3 && c.listed("gateway") == 2
}

// listed counts the passing instances of a role.
func (c *cluster) listed(role string) int {
	entries, _, err := c.client(len(c.servers)).Health().Service(role, "", true, nil)
	if err != nil {
		return -1
	}
	return len(entries)
}
