package network

import (
	"context"
	"net"
	"strconv"
	"sync"
	"syscall"
)

// DefaultBuffer is how many bytes a memory connection holds in each direction
// before its writer waits.
const DefaultBuffer = 64 << 10

// Memory is a network within the process: hosts with names and ports, no
// sockets. Two Memory values know nothing of each other. It blocks only in
// ways that testing/synctest understands, as long as it is made in the bubble.
// The zero value is ready; it must not be copied after first use, and its
// methods may be called from many goroutines.
//
// It differs from TCP in that Dial returns when the listener has accepted, as
// there is no backlog, and that a write to a closed peer fails at once.
type Memory struct {
	Buffer int // bytes in flight per direction; 0 means DefaultBuffer; set before first use

	hosts     hosts
	mu        sync.Mutex
	listeners map[address]*memoryListener
	dialled   map[address]bool  // local ends of dialled connections
	ports     map[string]uint16 // the last free port given, by host
}

// NewMemory makes a network without hosts. Any name is one as soon as it is used.
func NewMemory() *Memory { return new(Memory) }

// Host is what the named host sees. Its own name, "localhost", a loopback
// address and no name at all mean itself; every other name means another host.
func (m *Memory) Host(name string) Network {
	return &memoryHost{memory: m, name: name, incarnation: m.hosts.incarnation(name)}
}

// Crash closes the host's listeners and cuts its connections, at once: its
// peers see a reset, and what was in flight is lost. Its views no longer listen
// nor dial, and dialling it is refused.
func (m *Memory) Crash(host string) { m.hosts.crash(host) }

// Restore brings a crashed host back. Views made since the crash work; those
// made before it never will.
func (m *Memory) Restore(host string) { m.hosts.restore(host) }

// address is a host and a port. It is a net.Addr.
type address struct {
	host string
	port uint16
}

func (address) Network() string  { return "memory" }
func (a address) String() string { return net.JoinHostPort(a.host, strconv.Itoa(int(a.port))) }

// resolve reads a "host:port" as the host named self understands it.
func resolve(self, addr string) (address, error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return address{}, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return address{}, &net.AddrError{Err: "invalid port", Addr: addr}
	}
	if ip := net.ParseIP(host); host == "" || host == "localhost" || ip.IsLoopback() || ip.IsUnspecified() {
		host = self
	}
	return address{host, uint16(port)}, nil
}

// listen enters l under at, or under a free port of that host.
func (m *Memory) listen(l *memoryListener, at address) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at.port == 0 {
		var err error
		if at, err = m.free(at.host); err != nil {
			return err
		}
	}
	if m.listeners[at] != nil || m.dialled[at] {
		return syscall.EADDRINUSE
	}
	if m.listeners == nil {
		m.listeners = make(map[address]*memoryListener)
	}
	l.at = at
	m.listeners[at] = l
	return nil
}

// firstPort begins the range that IANA keeps for ports given on demand.
const firstPort = 49152

// free finds a port of the host that nobody uses. Ports go round, so that one
// just released is not mistaken for its next user. The caller holds mu.
func (m *Memory) free(host string) (address, error) {
	if m.ports == nil {
		m.ports = make(map[string]uint16)
	}
	for range 1<<16 - firstPort {
		port := m.ports[host] + 1
		if port < firstPort {
			port = firstPort
		}
		m.ports[host] = port
		if at := (address{host, port}); m.listeners[at] == nil && !m.dialled[at] {
			return at, nil
		}
	}
	return address{}, syscall.EADDRNOTAVAIL
}

// route finds who listens at an address.
func (m *Memory) route(to address) (*memoryListener, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.listeners[to]; l != nil {
		return l, nil
	}
	return nil, syscall.ECONNREFUSED
}

// borrow takes a port of the host for a connection it dials.
func (m *Memory) borrow(host string) (address, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, err := m.free(host)
	if err != nil {
		return address{}, err
	}
	if m.dialled == nil {
		m.dialled = make(map[address]bool)
	}
	m.dialled[at] = true
	return at, nil
}

// giveBack ends what borrow began.
func (m *Memory) giveBack(at address) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.dialled, at)
}

// memoryHost is the network as one incarnation of a host sees it.
type memoryHost struct {
	memory      *Memory
	name        string
	incarnation uint64
}

func (h *memoryHost) Listen(ctx context.Context, addr string) (net.Listener, error) {
	at, err := resolve(h.name, addr)
	if err == nil && at.host != h.name {
		err = syscall.EADDRNOTAVAIL
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: at.Network(), Addr: at, Err: err}
	}
	l := newMemoryListener(h)
	if err := h.memory.listen(l, at); err != nil {
		return nil, &net.OpError{Op: "listen", Net: at.Network(), Addr: at, Err: err}
	}
	l.forget, err = h.memory.hosts.own(h.name, h.incarnation, l.end)
	if err != nil {
		l.end()
		return nil, &net.OpError{Op: "listen", Net: at.Network(), Addr: at, Err: err}
	}
	return l, nil
}

func (h *memoryHost) Dial(ctx context.Context, addr string) (net.Conn, error) {
	to, err := resolve(h.name, addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: to.Network(), Err: err}
	}
	c, err := h.dial(ctx, to)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: to.Network(), Addr: to, Err: err}
	}
	return c, nil
}

func (h *memoryHost) dial(ctx context.Context, to address) (*memoryConn, error) {
	ctx, crash := context.WithCancelCause(ctx)
	defer crash(nil)
	forget, err := h.memory.hosts.own(h.name, h.incarnation, func() { crash(syscall.ENETDOWN) })
	if err != nil {
		return nil, err
	}
	defer forget()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l, err := h.memory.route(to)
	if err != nil {
		return nil, err
	}
	from, err := h.memory.borrow(h.name)
	if err != nil {
		return nil, err
	}
	near, err := connect(h.memory, end{h, from}, end{l.host, to})
	if err != nil {
		return nil, err
	}
	if err := l.offer(ctx, near.peer); err != nil {
		near.cut()
		return nil, err
	}
	return near, nil
}
