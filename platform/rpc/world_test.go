package rpc

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"example.com/app/platform/network"
	"example.com/app/platform/registry"
	"example.com/app/platform/rpc/internal/probepb"
)

// A world is one system: a registry and a network of its own.
type world struct {
	*testing.T
	host   func(name string) (registry.Registry, network.Network)
	listen string
	memory *network.Memory // nil over TCP
	listed *registry.Memory
}

// inMemory runs a test in virtual time; at its end no goroutine may be left.
func inMemory(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newWorld(t)) })
}

func newWorld(t *testing.T) *world {
	n, r := network.NewMemory(), registry.NewMemory()
	return &world{T: t, listen: ":50051", memory: n, listed: r, host: func(name string) (registry.Registry, network.Network) {
		return r.Host(name), n.Host(name)
	}}
}

// everyNetwork runs a test in memory and over TCP.
func everyNetwork(t *testing.T, test func(w *world)) {
	t.Run("memory", func(t *testing.T) { inMemory(t, test) })
	t.Run("tcp", func(t *testing.T) {
		n, r := &network.TCP{}, registry.NewMemory()
		test(&world{T: t, listen: "127.0.0.1:0", listed: r, host: func(name string) (registry.Registry, network.Network) {
			return r.Host(name), n.Host(name)
		}})
	})
}

// An instance is a server that is up and listed.
type instance struct {
	*Server
	addr   string
	ended  chan error // what Serve returned
	delist func()
}

// start serves a probe on a host, and lists it as an instance of "probe".
func (w *world) start(host string, p *probe, cfg ServerConfig) *instance {
	w.Helper()
	return w.startAll(host, cfg, func(s grpc.ServiceRegistrar) { probepb.RegisterProbeServer(s, p) })
}

func (w *world) startAll(host string, cfg ServerConfig, register func(grpc.ServiceRegistrar)) *instance {
	w.Helper()
	in := w.serve(host, cfg, register)
	in.SetServing(true)
	in.delist = w.list(host, in.addr)
	return in
}

// serve answers calls without being listed, until the test ends.
func (w *world) serve(host string, cfg ServerConfig, register func(grpc.ServiceRegistrar)) *instance {
	w.Helper()
	_, n := w.host(host)
	ln, err := n.Listen(w.Context(), w.listen)
	require.NoError(w, err)
	if cfg.Role == "" {
		cfg.Role = "probe"
	}
	in := &instance{Server: NewServer(cfg), addr: ln.Addr().String(), ended: make(chan error, 1)}
	register(in)
	go func() { in.ended <- in.Serve(ln) }()
	w.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		in.Stop(ctx)
	})
	return in
}

// list keeps an address listed as an instance of "probe", until the test ends
// or the returned function is called.
func (w *world) list(id, addr string) (delist func()) {
	r, _ := w.host(id)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.Register(ctx, registry.Registration{Instance: registry.Instance{ID: id, Role: "probe", Addr: addr}})
	}()
	delist = func() { cancel(); <-ended }
	w.Cleanup(delist)
	return delist
}

// dial makes a client of "probe" on the host "client".
func (w *world) dial() *grpc.ClientConn {
	w.Helper()
	return w.dialAs("client", ClientConfig{})
}

func (w *world) dialAs(host string, cfg ClientConfig) *grpc.ClientConn {
	w.Helper()
	r, n := w.host(host)
	if cfg.Role == "" {
		cfg.Role = "probe"
	}
	if cfg.Registry == nil {
		cfg.Registry = r
	}
	if cfg.Network == nil {
		cfg.Network = n
	}
	conn, err := Dial(cfg)
	require.NoError(w, err)
	w.Cleanup(func() { _ = conn.Close() })
	return conn
}

// ready is dial, and waits until an instance has been reached.
func (w *world) ready() probepb.ProbeClient {
	w.Helper()
	conn := w.dial()
	w.reach(conn)
	return probepb.NewProbeClient(conn)
}

func (w *world) reach(conn *grpc.ClientConn) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
	defer cancel()
	require.NoError(w, WaitReady(ctx, conn))
	if w.memory != nil {
		synctest.Wait() // all instances, not the first alone
	}
}

// A probe answers as its test wants, and counts.
type probe struct {
	probepb.UnimplementedProbeServer
	answer func(context.Context, *probepb.Request) (*probepb.Reply, error) // nil: an empty reply
	chat   func(grpc.BidiStreamingServer[probepb.Request, probepb.Reply]) error

	mu   sync.Mutex
	seen map[string]int // deliveries by method
}

func (p *probe) count(method string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil {
		p.seen = map[string]int{}
	}
	p.seen[method]++
}

// calls is how often the methods were delivered; no name means all.
func (p *probe) calls(methods ...string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(methods) == 0 {
		methods = []string{"Read", "Put", "Write", "Find", "Chat"}
	}
	for _, m := range methods {
		n += p.seen[m]
	}
	return n
}

func (p *probe) say(ctx context.Context, method string, req *probepb.Request) (*probepb.Reply, error) {
	p.count(method)
	if p.answer == nil {
		return &probepb.Reply{}, nil
	}
	return p.answer(ctx, req)
}

func (p *probe) Read(ctx context.Context, req *probepb.Request) (*probepb.Reply, error) {
	return p.say(ctx, "Read", req)
}

func (p *probe) Put(ctx context.Context, req *probepb.Request) (*probepb.Reply, error) {
	return p.say(ctx, "Put", req)
}

func (p *probe) Write(ctx context.Context, req *probepb.Request) (*probepb.Reply, error) {
	return p.say(ctx, "Write", req)
}

func (p *probe) Find(ctx context.Context, req *probepb.Request) (*probepb.Reply, error) {
	return p.say(ctx, "Find", req)
}

func (p *probe) Chat(stream grpc.BidiStreamingServer[probepb.Request, probepb.Reply]) error {
	p.count("Chat")
	if p.chat != nil {
		return p.chat(stream)
	}
	for {
		req, err := stream.Recv()
		if err == io.EOF { //nolint:errorlint // as the contract of Recv says
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&probepb.Reply{Text: req.GetText()}); err != nil {
			return err
		}
	}
}

// refusing answers every call with err.
func refusing(err error) *probe {
	return &probe{answer: func(context.Context, *probepb.Request) (*probepb.Reply, error) { return nil, err }}
}

// A journal is a log that a test can read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// lines are those that contain what.
func (j *journal) lines(what string) (found []string) {
	for line := range strings.Lines(j.String()) {
		if strings.Contains(line, what) {
			found = append(found, line)
		}
	}
	return found
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// counted counts the connections that a network dials, by address.
type counted struct {
	network.Network
	mu     sync.Mutex
	dialed map[string]int
}

func (c *counted) Dial(ctx context.Context, addr string) (net.Conn, error) {
	c.mu.Lock()
	if c.dialed == nil {
		c.dialed = map[string]int{}
	}
	c.dialed[addr]++
	c.mu.Unlock()
	return c.Network.Dial(ctx, addr)
}

func (c *counted) dials(addr string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dialed[addr]
}

// requestID is what a handler finds of the id that was handed on.
func requestID(ctx context.Context) []string {
	return metadata.ValueFromIncomingContext(ctx, RequestID)
}
