package registry

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"example.com/app/platform/errs"
)

// Memory is the registry of a system that lives in one process. Like Consul it
// forgets an instance that has been silent for TTL, so a crashed host stays
// listed for a while, as a killed process would.
//
// The zero value is ready. A Memory must not be copied. Every host has its own
// view of it, see Host; views may be used from many goroutines, in real time
// and in a testing/synctest bubble.
type Memory struct {
	// TTL is how long an instance stays listed after its last heartbeat; it
	// beats three times in that time. 0 means 15 s. It is read, never written.
	TTL time.Duration

	mu      sync.Mutex
	index   uint64                   // counts changes
	claims  uint64                   // counts registrations
	entries map[string]*entry        // by instance id
	hosts   map[string]*incarnation  // by name
	wakes   map[string]chan struct{} // by role; closed at its next change
}

// An entry is what the list knows of one id.
type entry struct {
	Instance
	claim   uint64 // of the registration that owns it; a newer one takes it over
	passing bool
	expiry  *time.Timer
}

// An incarnation is the state of a host.
type incarnation struct {
	epoch uint64 // grows with each crash
	down  bool
}

// NewMemory returns an empty registry.
func NewMemory() *Memory { return &Memory{} }

// Host returns what the named host sees of m: every instance, and its own to
// write. The view belongs to the present incarnation of the host: after
// Crash(name) its writes are refused for ever, and the next incarnation asks
// for a view of its own.
func (m *Memory) Host(name string) Registry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return view{m, name, m.host(name).epoch}
}

// Crash ends an incarnation of a host without a goodbye: the views it has are
// refused from now on, so that not even its late deregistration counts, and
// what it registered stays listed until its TTL has passed.
func (m *Memory) Crash(host string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.host(host)
	h.epoch++
	h.down = true
}

// Restore lets a new incarnation of a crashed host write.
func (m *Memory) Restore(host string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.host(host).down = false
}

// Index counts the changes of m so far: listings, departures, and changes of
// health. A heartbeat that changes nothing does not count.
func (m *Memory) Index() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.index
}

// host returns the state of a host. The caller holds m.mu.
func (m *Memory) host(name string) *incarnation {
	h := m.hosts[name]
	if h == nil {
		if m.hosts == nil {
			m.hosts = map[string]*incarnation{}
		}
		h = &incarnation{}
		m.hosts[name] = h
	}
	return h
}

func (m *Memory) ttl() time.Duration { return cmp.Or(m.TTL, 15*time.Second) }

// changed counts a change and wakes the watchers of a role. The caller holds
// m.mu.
func (m *Memory) changed(role string) {
	m.index++
	if wake, ok := m.wakes[role]; ok {
		close(wake)
		delete(m.wakes, role)
	}
}

// list returns the passing instances of a role, and a channel that is closed
// when they may have changed. The set shares its tags and metadata with m,
// which never changes them.
func (m *Memory) list(role string) ([]Instance, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var set []Instance
	for _, e := range m.entries {
		if e.Role == role && e.passing {
			set = append(set, e.Instance)
		}
	}
	wake, ok := m.wakes[role]
	if !ok {
		if m.wakes == nil {
			m.wakes = map[string]chan struct{}{}
		}
		wake = make(chan struct{})
		m.wakes[role] = wake
	}
	return Canonical(set), wake
}

// beat lists in as passing or not for one TTL more, under a claim.
func (m *Memory) beat(v view, in Instance, claim uint64, passing bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := v.refused(); err != nil {
		return err
	}
	e := m.entries[in.ID]
	if e != nil && e.claim > claim {
		return errs.Exists.New("instance %q was registered again by another", in.ID)
	}
	if e == nil || e.claim < claim {
		m.put(in, claim, passing)
		return nil
	}
	e.expiry.Reset(m.ttl())
	if e.passing != passing {
		e.passing = passing
		m.changed(e.Role)
	}
	return nil
}

// put lists in under a claim in place of whoever had its id. The caller holds
// m.mu.
func (m *Memory) put(in Instance, claim uint64, passing bool) {
	m.drop(in.ID)
	if m.entries == nil {
		m.entries = map[string]*entry{}
	}
	m.entries[in.ID] = &entry{in, claim, passing, time.AfterFunc(m.ttl(), func() { m.expire(in.ID, claim) })}
	m.changed(in.Role)
}

// drop takes an id off the list. The caller holds m.mu.
func (m *Memory) drop(id string) {
	if e := m.entries[id]; e != nil {
		e.expiry.Stop()
		delete(m.entries, id)
		m.changed(e.Role)
	}
}

// expire takes an id off the list if it still belongs to claim.
func (m *Memory) expire(id string, claim uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.entries[id]; e != nil && e.claim == claim {
		m.drop(id)
	}
}

// A view is what one incarnation of a host sees of m.
type view struct {
	m     *Memory
	name  string
	epoch uint64
}

// refused says why the host may not write; nil: it may. The caller holds m.mu.
func (v view) refused() error {
	if h := v.m.host(v.name); h.down || h.epoch != v.epoch {
		return errs.Unavailable.New("host %s has crashed", v.name)
	}
	return nil
}

// claim draws the right to an id; the newest counts.
func (v view) claim() uint64 {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	v.m.claims++
	return v.m.claims
}

// Register implements Registry. On a crashed host it waits for ctx as if the
// registry were away.
func (v view) Register(ctx context.Context, r Registration) error {
	if err := r.Validate(); err != nil {
		return err
	}
	in, claim := listed(r.Instance), v.claim()
	tick := time.NewTicker(v.m.ttl() / 3)
	defer tick.Stop()
	var fate Fate
	for ctx.Err() == nil {
		var sick error
		if r.Health != nil {
			sick = r.Health()
		}
		fate.Tell(r.Report, cmp.Or(v.m.beat(v, in, claim, sick == nil), sick))
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return v.leave(in.ID, claim)
}

// leave takes an instance off the list, unless its host is gone or its id has
// been claimed since.
func (v view) leave(id string, claim uint64) error {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	if err := v.refused(); err != nil {
		return err
	}
	if e := v.m.entries[id]; e != nil && e.claim == claim {
		v.m.drop(id)
	}
	return nil
}

// Watch implements Registry. It yields no errors: memory can always be asked.
func (v view) Watch(ctx context.Context, role string) iter.Seq2[[]Instance, error] {
	return func(yield func([]Instance, error) bool) {
		var last []Instance
		for first := true; ctx.Err() == nil; {
			set, wake := v.m.list(role)
			if first || !Same(last, set) {
				first, last = false, slices.Clone(set)
				if !yield(copies(set), nil) {
					return
				}
			}
			select {
			case <-ctx.Done():
			case <-wake:
			}
		}
	}
}
