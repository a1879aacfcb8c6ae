// Package wire is a network in this process that can be spoilt: each host has
// its own view of it, and each direction between two hosts its own faults.
//
//	latency, jitter  delivery time of each segment; a stream stays in order
//	bandwidth        shared by all connections of a direction
//	loss             a retransmission timeout more, doubling: TCP hides loss as delay
//	cut              segments and SYNs wait, and nobody is told
//	crash            listeners are gone; peers are reset, one latency later
//	power cut        peers see nothing; what they send after the restart is reset
//	reset            both ends of connections are aborted
//	pause            nothing leaves a host or reaches it, and all of it later
//	limit            a host takes so many connections, and refuses others
//
// Not modelled: congestion control, reordering that a reader could see, the
// timers of a host that is paused (they fire), and what the kernel still sends
// for a process that has died.
//
// Underneath are the connections of network.Memory. It works in real time and
// in virtual time alike.
package wire

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"example.com/app/platform/network"
)

// A Config says what a network is like before anything goes wrong. The zero
// value is an instant one.
type Config struct {
	Seed   uint64                   // of jitter and loss
	Link   Link                     // of every direction between two hosts; within a host all is instant
	RTO    time.Duration            // first retransmission timeout; 0 means 200 ms
	Window int                      // bytes in flight per direction of a connection; 0 means 64 KiB
	Zone   func(host string) string // nil: no zones
}

// A Network is hosts and what connects them. Use New. Its methods may be called
// from many goroutines.
type Network struct {
	cfg    Config
	memory *network.Memory

	mu      sync.Mutex
	version uint64 // of all that roads depend on
	rules   []*Rule
	pauses  []*string // places
	limits  []*limit
	roads   map[[2]string]*road
	hosts   map[string]*host
	serial  uint64
	conns   map[uint64]*conn // those whose last byte has not been delivered
}

// A host is a name and what it has open. The Network's mu guards it.
type host struct {
	incarnation uint64
	down        bool
	silent      bool // it is down and says nothing: SYNs wait
	arriving    int  // connections that are being accepted
	listeners   []*listener
	dials       map[uint64]context.CancelCauseFunc // under way, by serial
}

// A limit is how many connections the hosts at a place take.
type limit struct {
	place       string
	connections int
}

// New returns a network without hosts. Any name is one as soon as it is used.
func New(cfg Config) *Network {
	cfg.RTO = cmp.Or(cfg.RTO, 200*time.Millisecond)
	cfg.Window = cmp.Or(cfg.Window, network.DefaultBuffer)
	return &Network{
		cfg: cfg, memory: network.NewMemory(), version: 1,
		roads: map[[2]string]*road{}, hosts: map[string]*host{}, conns: map[uint64]*conn{},
	}
}

// Host is the network as a host sees it, until it crashes: what outlives a crash
// stays off the network.
func (n *Network) Host(name string) network.Network {
	n.mu.Lock()
	defer n.mu.Unlock()
	return &view{n, name, n.host(name).incarnation, n.memory.Host(name)}
}

// host finds or makes a host. The caller holds mu.
func (n *Network) host(name string) *host {
	h := n.hosts[name]
	if h == nil {
		h = new(host)
		n.hosts[name] = h
	}
	return h
}

// zone is the zone of a host.
func (n *Network) zone(host string) string {
	if n.cfg.Zone == nil {
		return ""
	}
	return n.cfg.Zone(host)
}

// road is the direction from one host to another as it is now. The caller holds
// mu.
func (n *Network) road(from, to string) *road {
	key := [2]string{from, to}
	r := n.roads[key]
	if r == nil {
		r = newRoad(n.cfg.Seed, from, to)
		n.roads[key] = r
	}
	if r.version == n.version {
		return r
	}
	r.version, r.link = n.version, Link{}
	if from != to {
		r.link = n.cfg.Link
		for _, rule := range n.rules {
			if Match(rule.From, from, n.zone(from)) && Match(rule.To, to, n.zone(to)) {
				r.link = r.link.plus(rule.Link)
			}
		}
	}
	for _, name := range []string{from, to} {
		r.link.Cut = r.link.Cut || n.host(name).silent || n.paused(name)
	}
	if r.link.Bandwidth == 0 {
		r.busy = time.Time{}
	}
	return r
}

// change changes what roads depend on, and has all that waits look again.
func (n *Network) change(f func()) {
	n.mu.Lock()
	f()
	n.version++
	all := n.sorted()
	n.mu.Unlock()
	for _, c := range all {
		c.out.again()
	}
}

// sorted is the connections in the order in which they were made. The caller
// holds mu.
func (n *Network) sorted() []*conn {
	all := make([]*conn, 0, len(n.conns))
	for _, serial := range slices.Sorted(maps.Keys(n.conns)) {
		all = append(all, n.conns[serial])
	}
	return all
}

// Spoil adds to the links between places until heal is called; twice is fine.
// Rules add up: latencies and jitters add, losses combine, the least bandwidth
// holds, one cut cuts.
func (n *Network) Spoil(r Rule) (heal func()) {
	n.change(func() { n.rules = append(n.rules, &r) })
	return func() {
		n.change(func() { n.rules = slices.DeleteFunc(n.rules, func(o *Rule) bool { return o == &r }) })
	}
}

// Pause holds all segments of the hosts at a place, both ways, until resume is
// called; twice is fine. Pauses nest.
func (n *Network) Pause(place string) (resume func()) {
	n.change(func() { n.pauses = append(n.pauses, &place) })
	return func() {
		n.change(func() { n.pauses = slices.DeleteFunc(n.pauses, func(o *string) bool { return o == &place }) })
	}
}

// paused says whether a host is. The caller holds mu.
func (n *Network) paused(name string) bool {
	return slices.ContainsFunc(n.pauses, func(place *string) bool { return Match(*place, name, n.zone(name)) })
}

// Limit makes the hosts at a place refuse connections beyond a number at a time,
// until heal is called; twice is fine. Of several limits the least holds.
func (n *Network) Limit(place string, connections int) (heal func()) {
	l := &limit{place, max(0, connections)}
	n.change(func() { n.limits = append(n.limits, l) })
	return func() {
		n.change(func() { n.limits = slices.DeleteFunc(n.limits, func(o *limit) bool { return o == l }) })
	}
}

// Reset aborts all connections between two places: both ends see a reset.
func (n *Network) Reset(a, b string) {
	n.mu.Lock()
	all := slices.DeleteFunc(n.sorted(), func(c *conn) bool {
		from, to := c.local, c.remote
		there := Match(a, from, n.zone(from)) && Match(b, to, n.zone(to))
		return !there && !(Match(b, from, n.zone(from)) && Match(a, to, n.zone(to)))
	})
	n.mu.Unlock()
	for _, c := range all {
		c.abort(syscall.ECONNRESET)
	}
}

// Crash ends all that a host has open, as the death of its process does: peers
// are reset as soon as word of it can reach them. Views of it work again after
// Restore, those made before never will.
func (n *Network) Crash(name string) {
	for _, c := range n.fell(name, false) {
		c.die()
		n.mu.Lock()
		r := n.road(name, c.remote)
		cut, after := r.link.Cut, time.Until(r.arrival(0, n.cfg.RTO))
		n.mu.Unlock()
		switch {
		case cut: // word of it is lost; the peer learns of it when it sends something
			n.forget(c)
		case after <= 0:
			c.abort(net.ErrClosed)
		default:
			time.AfterFunc(after, func() { c.abort(net.ErrClosed) })
		}
	}
}

// PowerCut ends all that a host has open, and tells nobody: its peers' ends stay
// open, and SYNs to it wait. After Restore, what peers send on them is answered
// by a reset.
func (n *Network) PowerCut(name string) {
	for _, c := range n.fell(name, true) {
		c.die()
		n.forget(c)
	}
}

// fell takes a host off the network, and returns the connections it had; of one
// that has died the kernel still sends what was closed in order.
func (n *Network) fell(name string, silent bool) []*conn {
	n.mu.Lock()
	h := n.host(name)
	h.down, h.silent = true, silent
	h.incarnation++
	listeners := h.listeners
	h.listeners = nil
	n.version++
	own := slices.DeleteFunc(n.sorted(), func(c *conn) bool { return c.local != name || c.isDead() && !silent })
	dials := h.dials
	h.dials = nil
	n.mu.Unlock()
	for _, l := range listeners {
		_ = l.Listener.Close()
	}
	for _, serial := range slices.Sorted(maps.Keys(dials)) {
		dials[serial](syscall.ENETDOWN)
	}
	return own
}

// Restore brings a host back.
func (n *Network) Restore(name string) {
	n.change(func() { h := n.host(name); h.down, h.silent = false, false })
}

// Connections is the number of ends that are open at a place.
func (n *Network) Connections(place string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	open := 0
	for _, c := range n.conns {
		if !c.isDead() && Match(place, c.local, n.zone(c.local)) {
			open++
		}
	}
	return open
}

// enter counts a connection in. It fails where its host has crashed meanwhile.
func (n *Network) enter(c *conn) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if h := n.host(c.local); h.down || h.incarnation != c.incarnation {
		return syscall.ENETDOWN
	}
	c.road, c.peer = n.road(c.local, c.remote), n.host(c.remote)
	c.peerIncarnation = c.peer.incarnation
	n.serial++
	c.serial = n.serial
	n.conns[c.serial] = c
	return nil
}

// forget counts a connection out.
func (n *Network) forget(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c.serial)
}

// dialling lets a crash of a host end its dials.
func (n *Network) dialling(ctx context.Context, v *view) (context.Context, func(), error) {
	ctx, cancel := context.WithCancelCause(ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.host(v.name)
	if h.down || h.incarnation != v.incarnation {
		cancel(nil)
		return ctx, nil, syscall.ENETDOWN
	}
	n.serial++
	serial := n.serial
	if h.dials == nil {
		h.dials = map[uint64]context.CancelCauseFunc{}
	}
	h.dials[serial] = cancel
	return ctx, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(h.dials, serial)
		cancel(nil)
	}, nil
}

// arrive lets a connection in at a host, if that takes another one. It holds its
// place until arrived is called: by who has accepted it, after it has entered, or
// by its dialler where nobody has.
func (n *Network) arrive(name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.host(name)
	for _, l := range n.limits {
		if Match(l.place, name, n.zone(name)) && n.taken(name)+h.arriving >= l.connections {
			return syscall.ECONNREFUSED
		}
	}
	h.arriving++
	return nil
}

// arrived gives the place of a connection back.
func (n *Network) arrived(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.host(name).arriving--
}

// taken is the number of connections that a host has accepted. The caller holds
// mu.
func (n *Network) taken(name string) (taken int) {
	for _, c := range n.conns {
		if c.local == name && c.accepted && !c.isDead() {
			taken++
		}
	}
	return taken
}

// syn waits for the way there and back that a connection costs, again and again
// while nothing gets through.
func (n *Network) syn(ctx context.Context, from, to string) error {
	again := n.cfg.RTO
	for {
		n.mu.Lock()
		there, back := n.road(from, to), n.road(to, from)
		cut := there.link.Cut || back.link.Cut
		var trip time.Duration
		if !cut {
			now := time.Now()
			trip = there.arrival(0, n.cfg.RTO).Sub(now) + back.arrival(0, n.cfg.RTO).Sub(now)
		}
		n.mu.Unlock()
		if cut {
			trip, again = again, min(2*again, maxRTO)
		}
		if err := pause(ctx, trip); err != nil {
			return err
		}
		if !cut {
			return nil
		}
	}
}

// pause waits, or says why not.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return given(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	return given(ctx)
}

// given is why a dial was given up: its host has crashed, or whatever ctx says.
func given(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), syscall.ENETDOWN) {
		return syscall.ENETDOWN
	}
	return ctx.Err()
}
