// Package state is what the servers of a Consul datacentre keep: the
// catalogue, keys and sessions, under one index that only grows.
//
// It follows Consul's rules for the index of an answer to the letter, since
// clients go wrong where they are unexpected: that of a service without
// instances, that of a deleted key.
package state

import (
	"maps"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
)

// A Store is the state of one datacentre. Use New. Its methods may be called
// from many goroutines; they never block, and what they return is never
// written to again. Time is that of package time.
type Store struct {
	datacenter string

	mu       sync.Mutex
	index    uint64        // of the last change
	epoch    uint64        // counts resets
	changed  chan struct{} // closed at the next one
	nodes    map[string]*node
	services map[string]uint64 // index of the last change, by name, while there are instances
	touched  tables
	keys     map[string]*api.KVPair
	graves   map[string]uint64    // index of the deletion, by key
	delays   map[string]time.Time // when a key may be locked again
	sessions map[string]*session
	made     uint64 // sessions so far

	health map[string][]*api.ServiceEntry // answers of Health since the last change
}

// tables are the indexes of the last changes of each kind.
type tables struct {
	nodes, services, checks, keys, sessions uint64
	extinct                                 uint64 // when a service lost its last instance
}

// A node is where an agent runs. Its entries are replaced, never written to.
type node struct {
	*api.Node
	services map[string]*api.AgentService // by id
	checks   map[string]*api.HealthCheck  // by id
	told
}

// told is what the agent of a node said last. It need not be compared again.
type told struct {
	services map[string]*api.AgentService
	checks   map[string]*api.HealthCheck
}

func toldNothing() told {
	return told{map[string]*api.AgentService{}, map[string]*api.HealthCheck{}}
}

// New returns the state of a datacentre without nodes.
func New(datacenter string) *Store {
	return &Store{
		datacenter: datacenter, index: 10, changed: make(chan struct{}),
		nodes: map[string]*node{}, services: map[string]uint64{},
		keys: map[string]*api.KVPair{}, graves: map[string]uint64{}, delays: map[string]time.Time{},
		sessions: map[string]*session{}, health: map[string][]*api.ServiceEntry{},
	}
}

// Datacenter is the name of the datacentre.
func (s *Store) Datacenter() string { return s.datacenter }

// Changed returns a channel that is closed at the next change of anything.
// Whoever asks for it before reading misses no change.
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Copy returns the state as it is now, for good: what a server that is cut off
// from the others goes on telling.
func (s *Store) Copy() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := New(s.datacenter)
	c.index, c.touched, c.made = s.index, s.touched, s.made
	for name, n := range s.nodes {
		c.nodes[name] = &node{Node: n.Node, services: maps.Clone(n.services), checks: maps.Clone(n.checks), told: toldNothing()}
	}
	c.services, c.keys = maps.Clone(s.services), maps.Clone(s.keys)
	c.graves, c.delays = maps.Clone(s.graves), maps.Clone(s.delays)
	for id, held := range s.sessions {
		c.sessions[id] = &session{SessionEntry: held.SessionEntry}
	}
	return c
}

// Epoch counts the resets so far: a question does not wait beyond one.
func (s *Store) Epoch() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch
}

// Reset lets everything that is kept have happened at one index, lower than
// the present one as a rule, as after a restore from a snapshot.
func (s *Store) Reset(index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index = index
	s.epoch++
	s.touched = tables{index, index, index, index, index, index}
	for name := range s.services {
		s.services[name] = index
	}
	for _, n := range s.nodes {
		n.reset(index)
	}
	clear(s.graves)
	for key, kv := range s.keys {
		c := *kv
		c.CreateIndex, c.ModifyIndex = index, index
		s.keys[key] = &c
	}
	s.tell()
}

func (n *node) reset(index uint64) {
	about := *n.Node
	about.CreateIndex, about.ModifyIndex = index, index
	n.Node = &about
	for id, service := range n.services {
		n.services[id] = stamped(service, index, index)
	}
	for id, check := range n.checks {
		c := *check
		c.CreateIndex, c.ModifyIndex = index, index
		n.checks[id] = &c
	}
}

// next counts a change. The caller holds s.mu and calls tell.
func (s *Store) next() uint64 {
	s.index++
	return s.index
}

// tell wakes who waits. The caller holds s.mu.
func (s *Store) tell() {
	clear(s.health)
	close(s.changed)
	s.changed = make(chan struct{})
}
