// Package integration tells stories about the whole system, each in every
// world, and keeps watch over the layout of the house.
package integration

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"example.com/app/platform/app"
	"example.com/app/platform/identity"
	"example.com/app/platform/identity/connect"
	"example.com/app/platform/network"
	"example.com/app/platform/registry"
	"example.com/app/platform/registry/consul"
	"example.com/app/platform/registry/consul/consultest"
	"example.com/app/platform/resilience"
	"example.com/app/platform/rpc"
	"example.com/app/services"
	"example.com/app/services/greeter/greeterpb"
	"example.com/app/services/phrasebook/phrasebookpb"
	"example.com/app/sim/fleet"
	"example.com/app/sim/load"
)

// everyWorld tells a story in memory under virtual time, over TCP, and over
// TCP with a real Consul. Each telling has ground of its own.
func everyWorld(t *testing.T, story func(*testing.T, *world)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, app.Memory(), app.Config{})
			w.virtual = true
			story(t, w)
			w.end()
		})
	})
	local := app.Config{
		GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", Drain: 200 * time.Millisecond,
		Limits: map[string]resilience.LimitConfig{"": {Off: true}}, // a busy machine is overloaded indeed, and calls would be refused
	}
	t.Run("tcp", func(t *testing.T) {
		w := newWorld(t, &tcpGround{tcp: new(network.TCP), memory: registry.NewMemory()}, local)
		story(t, w)
		w.end()
	})
	t.Run("consul", func(t *testing.T) {
		agent := consultest.Agent(t).API()
		var err error
		local.Security.Identity, local.Security.Intentions, err = connect.New(consul.Config{API: agent})
		require.NoError(t, err)
		w := newWorld(t, &tcpGround{tcp: new(network.TCP), agent: agent}, local)
		story(t, w)
		w.end()
	})
}

// tcpGround is hosts on loopback that find each other in memory, or in Consul.
type tcpGround struct {
	tcp    *network.TCP
	memory *registry.Memory // nil: agent
	agent  *api.Config
}

func (g *tcpGround) Host(name string) (registry.Registry, network.Network) {
	net := g.tcp.Host(name)
	if g.memory != nil {
		return g.memory.Host(name), net
	}
	reg, err := consul.New(consul.Config{API: g.agent, Network: net})
	if err != nil {
		panic(err) // the address of an agent that has just been started
	}
	return reg, net
}

func (g *tcpGround) Crash(host string) {
	g.tcp.Crash(host)
	if g.memory != nil {
		g.memory.Crash(host)
	}
}

func (g *tcpGround) Restore(host string) {
	if g.memory != nil {
		g.memory.Restore(host)
	}
	g.tcp.Restore(host)
}

// A world is a fleet, and the people outside who use it.
type world struct {
	*fleet.Fleet
	*load.User
	t       *testing.T
	virtual bool
	ground  fleet.Ground
	reg     registry.Registry // as seen from outside
	net     network.Network
	leave   func() // ends what the outside started

	mu     sync.Mutex
	served map[string]int // calls answered, by host
	codes  map[string]int // the same by "host code"
	idle   map[string]bool
}

func newWorld(t *testing.T, ground fleet.Ground, cfg app.Config) *world {
	t.Helper()
	w := &world{t: t, ground: ground, served: map[string]int{}, codes: map[string]int{}, idle: map[string]bool{}}
	cfg.Roles, cfg.Observe = services.All, w.observe
	outside := app.Client{ID: "outside", Secret: "out of the test", Scopes: []string{"greetings.read", "phrases.read", "phrases.write"}}
	if cfg.Security.Identity == nil {
		cfg.Security.Identity = identity.NewMemory(identity.MemoryConfig{})
	}
	cfg.Security.Clients = []app.Client{outside}
	w.configure(cfg)
	w.reg, w.net = ground.Host("outside")
	w.User = load.NewUser(w.net, 20*time.Second)
	w.LogIn(outside)
	ctx, cancel := context.WithCancel(context.Background())
	var user sync.WaitGroup
	user.Go(func() { w.User.Run(ctx, w.reg) })
	w.leave = func() { cancel(); user.Wait() }
	t.Cleanup(func() { // also after a failure: a bubble wants everybody out
		_ = w.Fleet.Close()
		w.leave()
	})
	return w
}

// configure sets what the nodes that start from now on have in common.
func (w *world) configure(cfg app.Config) { w.Fleet = fleet.New(w.ground, cfg) }

// settings are those of the nodes, to be changed before the first start.
func (w *world) settings(change func(*app.Config)) {
	cfg := w.Fleet.Settings()
	change(&cfg)
	w.configure(cfg)
}

func (w *world) observe(c app.Call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.served[c.Host]++
	w.codes[c.Host+" "+c.Code.String()]++
}

func (w *world) calls(host string) int { w.mu.Lock(); defer w.mu.Unlock(); return w.served[host] }

func (w *world) saw(host, code string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.codes[host+" "+code] > 0
}

// start starts instances one after the other; each is found by its callers
// before the next one starts.
func (w *world) start(hosts ...string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if !slices.Contains(w.Up(), "issuer-1") && !w.Settings().Security.Insecure {
		require.NoError(w.t, w.Fleet.Start(ctx, "issuer-1")) // who would give anybody a token?
	}
	for _, host := range hosts {
		require.NoError(w.t, w.Fleet.Start(ctx, host))
		w.mu.Lock()
		w.idle[host] = w.served[host] == 0
		w.mu.Unlock()
	}
}

// end stops everything, and expects that everybody who was up has served
// (rule G8 of discovery): an instance that is never called proves nothing.
func (w *world) end() {
	w.t.Helper()
	require.NoError(w.t, w.Fleet.Close())
	for host := range w.idle {
		require.NotZero(w.t, w.calls(host), "%s was up and served no call", host)
	}
}

// greet asks for a greeting over HTTP.
func (w *world) greet(name, language string) (string, error) {
	text, err := w.Get(context.Background(), "/v1/greetings/"+name+"?language="+language)
	if err != nil {
		return "", err
	}
	var answer struct{ Message string }
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return "", fmt.Errorf("answer %q: %w", text, err)
	}
	return answer.Message, nil
}

// eventually waits until what is asked for is so.
func (w *world) eventually(within time.Duration, what string, so func() bool) {
	w.t.Helper()
	over := time.NewTimer(within)
	defer over.Stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !so() {
		select {
		case <-over.C:
			require.FailNow(w.t, "not within "+within.String()+": "+what)
		case <-again.C:
		}
	}
}

// dial is a client of a role over gRPC, from outside, with the certificate of a
// gateway and the user's token.
func (w *world) dial(role string) grpc.ClientConnInterface {
	w.t.Helper()
	return w.dialAs("gateway", role)
}

// dialAs is the same with the certificate of another role.
func (w *world) dialAs(caller, role string) grpc.ClientConnInterface {
	w.t.Helper()
	cfg := rpc.ClientConfig{Role: role, Registry: w.reg, Network: w.net}
	who := w.workload(caller)
	if who != nil {
		cfg.Credentials = who.Client(role)
	}
	conn, err := rpc.Dial(cfg)
	require.NoError(w.t, err)
	leave := w.leave
	w.leave = func() { _ = conn.Close(); leave() }
	if who == nil {
		return bearer{ClientConn: conn}
	}
	return bearer{conn, w.tokens(who)}
}

// workload holds a certificate of a role until the story ends; nil where the
// world is insecure.
func (w *world) workload(role string) *identity.Workload {
	w.t.Helper()
	s := w.Settings().Security
	if s.Insecure {
		return nil
	}
	who := identity.NewWorkload(identity.WorkloadConfig{Role: role, Source: s.Identity})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = who.Run(ctx) })
	leave := w.leave
	w.leave = func() { cancel(); running.Wait(); leave() }
	w.eventually(20*time.Second, "a certificate", func() bool { return who.Ready() == nil })
	return who
}

// tokens are access tokens from the issuer itself, for stories without a
// gateway.
func (w *world) tokens(who *identity.Workload) oauth2.TokenSource {
	client := w.Settings().Security.Clients[0]
	carrier := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		for set, err := range w.reg.Watch(ctx, "issuer") {
			if err != nil || len(set) == 0 {
				continue
			}
			conn, err := w.net.Dial(ctx, set[0].Addr)
			if err != nil {
				return nil, err
			}
			return tls.Client(conn, who.ClientTLS("issuer")), nil
		}
		return nil, ctx.Err()
	}}
	leave := w.leave
	w.leave = func() { carrier.CloseIdleConnections(); leave() }
	config := clientcredentials.Config{
		ClientID: client.ID, ClientSecret: string(client.Secret), Scopes: client.Scopes,
		TokenURL: "http://issuer/oauth2/token", AuthStyle: oauth2.AuthStyleInHeader,
	}
	return config.TokenSource(context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{Transport: carrier, Timeout: 20 * time.Second}))
}

// bearer shows a token with every call.
type bearer struct {
	*grpc.ClientConn
	tokens oauth2.TokenSource // nil: it has none
}

func (b bearer) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	ctx, err := b.show(ctx)
	if err != nil {
		return err
	}
	return b.ClientConn.Invoke(ctx, method, args, reply, opts...)
}

func (b bearer) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	ctx, err := b.show(ctx)
	if err != nil {
		return nil, err
	}
	return b.ClientConn.NewStream(ctx, desc, method, opts...)
}

func (b bearer) show(ctx context.Context) (context.Context, error) {
	if b.tokens == nil {
		return ctx, nil
	}
	token, err := b.tokens.Token()
	if err != nil {
		return ctx, err
	}
	return metadata.AppendToOutgoingContext(ctx, rpc.Authorization, "Bearer "+token.AccessToken), nil
}

func (w *world) greeter() greeterpb.GreeterClient {
	return greeterpb.NewGreeterClient(w.dial("greeter"))
}

func (w *world) phrasebook() phrasebookpb.PhrasebookClient {
	return phrasebookpb.NewPhrasebookClient(w.dial("phrasebook"))
}

// underLoad asks for greetings at a steady rate while something happens, and
// returns the first request that was lost.
func (w *world) underLoad(rate float64, happens func()) (calls int, lost error) {
	w.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var sent atomic.Int64
	var mu sync.Mutex
	var all error
	over := make(chan struct{})
	go func() {
		defer close(over)
		asked := load.Load{Calls: load.Of(services.All), Arrivals: load.Steady(rate), Duration: time.Hour}
		asked.Run(ctx, w.User, func(d load.Done) {
			sent.Add(1)
			if d.Err == nil || errors.Is(d.Err, context.Canceled) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if all == nil {
				all = fmt.Errorf("after %v: %w", d.Took, d.Err)
			}
		})
	}()
	w.eventually(20*time.Second, "load flows", func() bool { return sent.Load() > 20 })
	happens()
	before := sent.Load()
	w.eventually(20*time.Second, "load still flows", func() bool { return sent.Load() > before+20 })
	stop()
	<-over
	return int(sent.Load()), all
}
