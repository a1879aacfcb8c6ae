package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"example.com/app/platform/network"
	"example.com/app/platform/proxy"
	"example.com/app/platform/registry"
	"example.com/app/platform/resilience"
	"example.com/app/platform/rpc"
	"example.com/app/platform/telemetry"
)

// A Config says what a node runs, and on what. Zero values are the defaults.
type Config struct {
	Roles  []Role         // all of the system's
	Run    map[string]int // the roles to run, and how many instances of each
	Fabric Fabric         // nil: Memory()

	First   int    // number of the first instance of each role, part of its host name; 0 means 1
	Name    string // of the machine, part of instance ids; may be empty
	Version string // of the program
	Zone    string // failure domain; may be empty

	Tags       []string                     // of the instances, beside their protocol
	PreferZone bool                         // call instances of the own zone, as long as enough are fit and they are not much slower
	Select     map[string]registry.Selector // which instances of a role to call; none: all
	Balance    map[string]Balance           // how calls to a role are shared; "" says it for all others

	GRPC       string           // host:port for gRPC; empty means ":50051"
	HTTP       string           // host:port of HTTP roles; empty means ":8080"
	Admin      string           // host:port for health, metrics and profiles; empty: none
	AdminToken telemetry.Secret // what whoever asks Admin must bring as bearer token; empty: nothing, which loopback alone allows
	Advertise  string           // host that others dial; empty: where it listens
	Edge       network.Network  // where Admin and HTTP roles listen; nil: as the rest
	Spread     bool             // count ports up, one per instance, because all share one host

	Drain     time.Duration // answers go on for so long after leaving the registry; may be 0
	Grace     time.Duration // from the stop on, after which calls are cut; 0 means 30 s
	WaitNeeds time.Duration // for dialled roles to be there, before serving without; 0 means 10 s
	WaitSeen  time.Duration // to be seen in the registry, before it counts as started; 0 means 2 s

	Security Security // who is who, and who may what
	Gate     Gate     // how the system meets those who come from outside

	Routes  []proxy.Route                                       // HTTP prefixes of services of the registry
	Work    map[string]resilience.Work                          // modelled work, by role
	Limits  map[string]resilience.LimitConfig                   // calls at a time of an instance, by role; "" says it for all others
	Methods rpc.Methods                                         // how single methods are called and answered
	Observe func(Call)                                          // hears of every call that ended; nil: nobody listens
	Facts   func(Fact)                                          // hears what roles state with Env.Fact; nil: nobody listens
	Around  func(role, host string) grpc.UnaryServerInterceptor // stands between calls that were let in and their handlers; nil: nothing does

	Log     *slog.Logger         // nil: nothing is logged
	Metrics *prometheus.Registry // nil: a new one
	Now     func() time.Time     // nil: time.Now
}

// A Call is one that has ended, seen by who answered it.
type Call struct {
	Role, Host string
	rpc.Call
}

// A Fact is something that a role states about itself: that an order was
// accepted, that a lock was taken. What is true of all facts together is up to
// who listens.
type Fact struct {
	Role, Host string
	Name       string // as in "order.created"
	Key        string // of what it is about
	Value      string // may be empty
}

// Failed says whether the call failed by no fault of its caller.
func (c Call) Failed() bool {
	switch c.Code {
	case codes.Unknown, codes.Internal, codes.DataLoss, codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted:
		return true
	default:
		return false
	}
}

// A CutError tells that a node stopped cleanly but for calls that took too
// long.
type CutError struct {
	Host  string
	Calls int
}

// Error names the host and the number of calls.
func (e *CutError) Error() string {
	return fmt.Sprintf("%s: %d calls were cut at the deadline", e.Host, e.Calls)
}

// A Node runs instances of roles. It is made by New and run once.
type Node struct {
	cfg       Config
	instances []*instance
	started   chan struct{}
	killed    chan struct{}
	killing   sync.Once
	admin     *admin // nil: none
}

// New checks the configuration. Nothing is started.
func New(cfg Config) (*Node, error) {
	if cfg.Fabric == nil {
		cfg.Fabric = Memory()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.GRPC, cfg.HTTP = cmp.Or(cfg.GRPC, ":50051"), cmp.Or(cfg.HTTP, ":8080")
	if err := cfg.secure(); err != nil {
		return nil, err
	}
	cfg.Grace = cmp.Or(cfg.Grace, 30*time.Second)
	cfg.WaitNeeds = cmp.Or(cfg.WaitNeeds, 10*time.Second)
	cfg.WaitSeen = cmp.Or(cfg.WaitSeen, 2*time.Second)
	for _, name := range slices.Sorted(maps.Keys(cfg.Run)) {
		if !slices.ContainsFunc(cfg.Roles, func(r Role) bool { return r.Name == name }) {
			return nil, fmt.Errorf("there is no role %q to run", name)
		}
	}
	for _, role := range slices.Sorted(maps.Keys(cfg.Balance)) {
		if err := cfg.Balance[role].check(role); err != nil {
			return nil, err
		}
	}
	n := &Node{cfg: cfg, started: make(chan struct{}), killed: make(chan struct{})}
	for _, role := range cfg.Roles {
		for i := range cfg.Run[role.Name] {
			n.instances = append(n.instances, &instance{
				node: n, role: role, host: role.Name + "-" + strconv.Itoa(max(1, cfg.First)+i),
				stop: make(chan struct{}), started: make(chan struct{}), gone: make(chan struct{}),
			})
		}
	}
	if len(n.instances) == 0 {
		return nil, errors.New("no role to run")
	}
	return n, nil
}

// Started is closed when callers can find every instance of the node.
func (n *Node) Started() <-chan struct{} { return n.started }

// InFlight is the number of calls that the node is answering, 0 before Started
// is closed.
func (n *Node) InFlight() int {
	select {
	case <-n.started:
	default:
		return 0
	}
	sum := 0
	for _, in := range n.instances {
		sum += in.server.InFlight()
	}
	return sum
}

// Kill makes Run return at once: calls are cut, nothing is drained.
func (n *Node) Kill() { n.killing.Do(func() { close(n.killed) }) }

// Run runs the instances until ctx ends, then stops them in order, callers
// before whom they call. It returns when everything it started has ended: nil
// after a clean stop, a CutError (found with errors.As) where calls were cut,
// or what broke. One instance that breaks stops the node.
func (n *Node) Run(ctx context.Context) error {
	if err := n.prepare(ctx); err != nil {
		for _, in := range n.instances {
			in.close()
		}
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return nil // told to stop before it was up
		}
		return err
	}
	var group run.Group
	asked, ask := context.WithCancel(ctx)
	group.Add(func() error { return n.untilAsked(asked) }, func(error) { ask() })
	ends := make([]error, len(n.instances)+1)
	for i, in := range n.instances {
		group.Add(func() error {
			ends[i] = in.run()
			return ends[i]
		}, func(error) { in.shut() })
	}
	if n.admin != nil {
		group.Add(func() error {
			ends[len(n.instances)] = n.admin.run()
			return ends[len(n.instances)]
		}, func(error) {}) // it leaves by itself, after the last instance
	}
	_ = group.Run() // the first end; ends holds all of them
	return errors.Join(ends...)
}

// untilAsked waits for the end of ctx or for Kill, and tells in between when
// all instances have started.
func (n *Node) untilAsked(ctx context.Context) error {
	for _, in := range n.instances {
		select {
		case <-in.started:
		case <-ctx.Done():
			return nil
		case <-n.killed:
			return nil
		}
	}
	close(n.started)
	select {
	case <-ctx.Done():
	case <-n.killed:
	}
	return nil
}

// prepare listens on every port, so that a port that is taken is known at
// once, and orders the instances by who calls whom.
func (n *Node) prepare(ctx context.Context) error {
	for _, in := range n.instances {
		if err := in.prepare(ctx); err != nil {
			return err
		}
	}
	order := n.callersFirst()
	for _, in := range n.instances {
		for _, caller := range n.instances {
			if order[caller.role.Name] < order[in.role.Name] && slices.Contains(caller.calls(), in.role.Name) {
				in.callers = append(in.callers, caller)
			}
		}
	}
	if n.cfg.Admin == "" {
		return nil
	}
	var err error
	n.admin, err = newAdmin(ctx, n)
	return err
}

// callersFirst ranks the roles of the node so that who calls stands before who
// is called. Where roles call each other in a circle one of them comes first.
func (n *Node) callersFirst() map[string]int {
	calls := make(map[string][]string)
	for _, in := range n.instances {
		calls[in.role.Name] = in.calls()
	}
	rank, finished := make(map[string]int), 0
	var visit func(string)
	visit = func(role string) {
		if _, seen := rank[role]; seen {
			return
		}
		rank[role] = 0
		for _, callee := range calls[role] {
			visit(callee)
		}
		finished++
		rank[role] = -finished // whom nobody calls is finished last, and stands first
	}
	for _, in := range n.instances {
		visit(in.role.Name)
	}
	return rank
}

// address is base, its port counted up by so many unless it is 0.
func address(base string, up int) (string, error) {
	host, port, err := net.SplitHostPort(base)
	if err != nil {
		return "", fmt.Errorf("address %q: want host:port or :port: %w", base, err)
	}
	number, err := strconv.Atoi(port)
	if err != nil || number < 0 || number > 65535 {
		return "", fmt.Errorf("address %q: the port must be a number from 0 to 65535", base)
	}
	if number > 0 {
		number += up
	}
	if number > 65535 {
		return "", fmt.Errorf("address %q: no port is left for instance %d, the last is 65535", base, up+1)
	}
	return net.JoinHostPort(host, strconv.Itoa(number)), nil
}
