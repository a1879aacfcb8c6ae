package state

import (
	"maps"
	"reflect"
	"slices"

	"github.com/hashicorp/consul/api"
)

// serf is the check that Consul itself keeps on every node.
const serf = "serfHealth"

// Join enters a node, if it is new.
func (s *Store) Join(name, address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nodes[name] != nil {
		return
	}
	index := s.next()
	s.nodes[name] = &node{
		Node:     &api.Node{Node: name, Address: address, Datacenter: s.datacenter, CreateIndex: index, ModifyIndex: index},
		services: map[string]*api.AgentService{},
		checks: map[string]*api.HealthCheck{serf: {
			Node: name, CheckID: serf, Name: "Serf Health Status", Status: api.HealthPassing,
			Output: "Agent alive and reachable", ServiceTags: []string{}, CreateIndex: index, ModifyIndex: index,
		}},
		told: toldNothing(),
	}
	s.touched.nodes, s.touched.checks = index, index
	s.tell()
}

// Sync makes the catalogue say of a node what its agent knows, as anti-entropy
// does: every difference is a change of its own, a service comes together with
// its checks, and no difference is no change.
func (s *Store) Sync(name string, services map[string]*api.AgentService, checks map[string]*api.HealthCheck) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, before := s.nodes[name], s.index
	for _, id := range gone(n.services, services) {
		s.remove(n, id)
	}
	for _, id := range gone(n.checks, checks) {
		if id != serf {
			s.drop(n, id)
		}
	}
	for _, id := range news(services, n.told.services) {
		if old := n.services[id]; old == nil || !reflect.DeepEqual(stamped(services[id], 0, 0), stamped(old, 0, 0)) {
			s.put(n, services[id], checks)
		}
	}
	for _, id := range news(checks, n.told.checks) {
		if !sameCheck(n.checks[id], checks[id]) {
			s.set(n, checks[id], s.next())
		}
	}
	if s.index != before {
		s.tell()
	}
}

// put enters a service and its checks. The caller holds s.mu.
func (s *Store) put(n *node, service *api.AgentService, checks map[string]*api.HealthCheck) {
	old := n.services[service.ID]
	if old != nil && old.Service != service.Service {
		s.remove(n, service.ID)
		old = nil
	}
	index := s.next()
	created := index
	if old != nil {
		created = old.CreateIndex
	}
	n.services[service.ID] = stamped(service, created, index)
	s.services[service.Service] = index
	s.touched.services, s.touched.nodes = index, index
	for _, id := range sorted(checks) {
		if checks[id].ServiceID == service.ID && !sameCheck(n.checks[id], checks[id]) {
			s.set(n, checks[id], index)
		}
	}
}

// set enters a check. The caller holds s.mu.
func (s *Store) set(n *node, check *api.HealthCheck, index uint64) {
	c := *check
	c.CreateIndex, c.ModifyIndex = index, index
	if old := n.checks[c.CheckID]; old != nil {
		c.CreateIndex = old.CreateIndex
	}
	n.checks[c.CheckID] = &c
	s.touch(n, &c, index)
}

// remove takes a service and its checks away. The caller holds s.mu.
func (s *Store) remove(n *node, id string) {
	name, index := n.services[id].Service, s.next()
	delete(n.services, id)
	s.touched.services, s.touched.nodes = index, index
	for _, check := range sorted(n.checks) {
		if n.checks[check].ServiceID == id {
			delete(n.checks, check)
			s.touched.checks = index
		}
	}
	if s.exists(name) {
		s.services[name] = index
		return
	}
	delete(s.services, name)
	s.touched.extinct = index
}

// drop takes a check away. The caller holds s.mu.
func (s *Store) drop(n *node, id string) {
	check, index := n.checks[id], s.next()
	delete(n.checks, id)
	s.touch(n, check, index)
}

// touch notes a change of a check with the services it speaks for: one, or all
// of the node. The caller holds s.mu.
func (s *Store) touch(n *node, check *api.HealthCheck, index uint64) {
	s.touched.checks = index
	for _, service := range n.services {
		if check.ServiceID == "" || check.ServiceID == service.ID {
			s.services[service.Service] = index
		}
	}
}

func (s *Store) exists(name string) bool {
	for _, n := range s.nodes {
		for _, service := range n.services {
			if service.Service == name {
				return true
			}
		}
	}
	return false
}

// Health returns the instances of a service with the checks that speak for
// them, by node and id, and the index of that answer. A service that has no
// instances has the index of the last one that lost its last: a question that
// waits there is woken by every service that does, and no sooner.
func (s *Store) Health(service string) ([]*api.ServiceEntry, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, known := s.health[service]
	if !known {
		all = []*api.ServiceEntry{}
		for _, name := range sorted(s.nodes) {
			all = append(all, s.nodes[name].health(service)...)
		}
		s.health[service] = all
	}
	return all, s.indexOf(service, true)
}

// health returns the instances on a node: with its own checks, then those of the
// instance.
func (n *node) health(service string) []*api.ServiceEntry {
	checks := map[string]api.HealthChecks{} // by id of the instance
	for _, id := range sorted(n.checks) {
		of := n.checks[id].ServiceID
		checks[of] = append(checks[of], n.checks[id])
	}
	var all []*api.ServiceEntry
	for _, id := range sorted(n.services) {
		if in := n.services[id]; in.Service == service {
			all = append(all, &api.ServiceEntry{Node: n.Node, Service: in, Checks: slices.Concat(checks[""], checks[id])})
		}
	}
	return all
}

// indexOf is the index of an answer about a service. The caller holds s.mu.
func (s *Store) indexOf(service string, checks bool) uint64 {
	switch index, ok := s.services[service]; {
	case ok:
		return index
	case s.touched.extinct > 0:
		return s.touched.extinct
	case checks:
		return max(s.touched.nodes, s.touched.services, s.touched.checks)
	}
	return max(s.touched.nodes, s.touched.services)
}

// Instances is Health without checks.
func (s *Store) Instances(service string) ([]*api.ServiceEntry, uint64) {
	all, _ := s.Health(service)
	s.mu.Lock()
	defer s.mu.Unlock()
	return all, s.indexOf(service, false)
}

// Checks returns the checks that keep returns true for, by node and id.
func (s *Store) Checks(keep func(*api.HealthCheck) bool) (api.HealthChecks, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := api.HealthChecks{}
	for _, name := range sorted(s.nodes) {
		for _, id := range sorted(s.nodes[name].checks) {
			if check := s.nodes[name].checks[id]; keep(check) {
				all = append(all, check)
			}
		}
	}
	return all, s.touched.checks
}

// Services returns the names of all services with all their tags.
func (s *Store) Services() (map[string][]string, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string][]string{}
	for _, n := range s.nodes {
		for _, in := range n.services {
			tags := append(slices.Clone(all[in.Service]), in.Tags...)
			slices.Sort(tags)
			all[in.Service] = append([]string{}, slices.Compact(tags)...)
		}
	}
	return all, max(s.touched.nodes, s.touched.services)
}

// Nodes returns all nodes by name.
func (s *Store) Nodes() ([]*api.Node, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []*api.Node{}
	for _, name := range sorted(s.nodes) {
		all = append(all, s.nodes[name].Node)
	}
	return all, s.touched.nodes
}

// stamped is a copy of a service with these indexes.
func stamped(service *api.AgentService, created, modified uint64) *api.AgentService {
	c := *service
	c.CreateIndex, c.ModifyIndex = created, modified
	return &c
}

// sameCheck reports whether the catalogue has a check as the agent does. An
// agent does not bother the servers for a new output alone, not for minutes:
// here it waits for another change.
func sameCheck(have, want *api.HealthCheck) bool {
	if have == nil {
		return false
	}
	c := *have
	c.CreateIndex, c.ModifyIndex, c.Output = want.CreateIndex, want.ModifyIndex, want.Output
	return reflect.DeepEqual(&c, want)
}

// gone are the keys that there are no more, in order.
func gone[V any](before, now map[string]V) []string {
	var keys []string
	for key := range before {
		if _, there := now[key]; !there {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// news are the keys of what was not told before, in order. Now it is told.
func news[V any](now, told map[string]*V) []string {
	for _, key := range gone(told, now) {
		delete(told, key)
	}
	var keys []string
	for key, v := range now {
		if told[key] != v {
			told[key] = v
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
