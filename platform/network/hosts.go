package network

import (
	"maps"
	"slices"
	"sync"
	"syscall"
)

// hosts remembers what each host has open, so that a crash can cut all of it
// at once. The zero value is ready.
//
// A host has incarnations. A view belongs to the one it was made in: what
// outlived a crash, a goroutine that never noticed, stays off the network even
// after the host is restored.
type hosts struct {
	mu     sync.Mutex
	byName map[string]*host
}

type host struct {
	incarnation uint64
	down        bool
	serial      uint64            // of the last thing opened
	open        map[uint64]func() // what to cut, by serial
}

// get finds or makes a host. The caller holds mu.
func (hs *hosts) get(name string) *host {
	if hs.byName == nil {
		hs.byName = make(map[string]*host)
	}
	h := hs.byName[name]
	if h == nil {
		h = &host{open: make(map[uint64]func())}
		hs.byName[name] = h
	}
	return h
}

// incarnation is the one that a view made now belongs to.
func (hs *hosts) incarnation(name string) uint64 {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.get(name).incarnation
}

// own has cut called if the host crashes before forget is called. It fails
// with ENETDOWN where the incarnation has crashed already. Forget may be called
// more than once.
func (hs *hosts) own(name string, incarnation uint64, cut func()) (forget func(), err error) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.get(name)
	if h.down || h.incarnation != incarnation {
		return nil, syscall.ENETDOWN
	}
	h.serial++
	serial := h.serial
	h.open[serial] = cut
	return func() {
		hs.mu.Lock()
		defer hs.mu.Unlock()
		delete(h.open, serial)
	}, nil
}

// crash cuts everything the host has open, oldest first.
func (hs *hosts) crash(name string) {
	hs.mu.Lock()
	h := hs.get(name)
	h.down = true
	h.incarnation++
	open := h.open
	h.open = make(map[uint64]func())
	hs.mu.Unlock()
	for _, serial := range slices.Sorted(maps.Keys(open)) {
		open[serial]()
	}
}

// restore lets the host's next incarnation begin.
func (hs *hosts) restore(name string) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.get(name).down = false
}
