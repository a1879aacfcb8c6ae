package consul

import (
	"maps"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/consul/api"

	"example.com/app/platform/registry"
)

// The keys under which an instance's own fields travel in a service's
// metadata; registry.Instance.Validate keeps them free.
const (
	keyRole     = "role"
	keyInstance = "instance"
	keyVersion  = "version"
	keyZone     = "zone"
	keyWeight   = "weight"
	keyStarted  = "started"
)

// service is an instance as Consul knows it, without its check. The instance
// is valid.
func service(in registry.Instance) *api.AgentServiceRegistration {
	host, port, _ := net.SplitHostPort(in.Addr)
	number, _ := strconv.Atoi(port)
	meta := map[string]string{keyRole: in.Role, keyInstance: in.ID}
	maps.Copy(meta, in.Meta)
	if in.Version != "" {
		meta[keyVersion] = in.Version
	}
	if in.Zone != "" {
		meta[keyZone] = in.Zone
	}
	if in.Weight != 0 {
		meta[keyWeight] = strconv.Itoa(in.Weight)
	}
	if !in.Started.IsZero() {
		meta[keyStarted] = in.Started.UTC().Format(time.RFC3339Nano)
	}
	return &api.AgentServiceRegistration{
		ID: in.ID, Name: in.Role, Address: host, Port: number, Meta: meta,
		Tags:    slices.Sorted(slices.Values(in.Tags)),
		Weights: &api.AgentWeights{Passing: max(in.Weight, 1), Warning: 1},
	}
}

// sameService reports whether Consul still knows a service as it was told.
func sameService(told *api.AgentServiceRegistration, known *api.AgentService) bool {
	return known.Service == told.Name && known.Address == told.Address && known.Port == told.Port &&
		slices.Equal(known.Tags, told.Tags) && maps.Equal(known.Meta, told.Meta) &&
		known.Weights == *told.Weights
}

// instances is a set of Consul's entries in canonical order. Anybody may have
// registered them. An id is unique on its node only: where two nodes use the
// same, the node's name goes in front.
func instances(role string, entries []*api.ServiceEntry) []registry.Instance {
	times := map[string]int{}
	for _, e := range entries {
		if e != nil && e.Service != nil {
			times[e.Service.ID]++
		}
	}
	var set []registry.Instance
	for _, e := range entries {
		if e == nil || e.Service == nil || e.Service.Port == 0 {
			continue // nothing to dial
		}
		in := instance(role, e)
		if times[in.ID] > 1 && e.Node != nil {
			in.ID = e.Node.Node + "/" + in.ID
		}
		set = append(set, in)
	}
	return registry.Canonical(set)
}

// A datacenterSet is what is known of one datacentre.
type datacenterSet struct {
	datacenter string
	set        []registry.Instance
}

// union is one set of several, in canonical order. An id is unique in its
// datacentre only: where two have the same, the datacentre's name goes in
// front.
func union(sets []datacenterSet) []registry.Instance {
	if len(sets) == 1 {
		return sets[0].set
	}
	times := map[string]int{}
	for _, s := range sets {
		for _, in := range s.set {
			times[in.ID]++
		}
	}
	var all []registry.Instance
	for _, s := range sets {
		for _, in := range s.set {
			if times[in.ID] > 1 && s.datacenter != "" {
				in.ID = s.datacenter + "/" + in.ID
			}
			all = append(all, in)
		}
	}
	return registry.Canonical(all)
}

// instance reads one entry. What somebody else wrote is understood as far as
// it goes and kept as metadata otherwise.
func instance(role string, e *api.ServiceEntry) registry.Instance {
	s := e.Service
	host := s.Address
	if host == "" && e.Node != nil {
		host = e.Node.Address
	}
	in := registry.Instance{
		ID: s.ID, Role: role, Addr: net.JoinHostPort(host, strconv.Itoa(s.Port)),
		Weight: s.Weights.Passing, Tags: slices.Sorted(slices.Values(s.Tags)), Meta: maps.Clone(s.Meta),
	}
	if s.Meta[keyInstance] == s.ID {
		ownFields(&in, s.Meta)
	}
	return in
}

// ownFields moves what service put into the metadata back to its fields.
func ownFields(in *registry.Instance, meta map[string]string) {
	in.Version, in.Zone = meta[keyVersion], meta[keyZone]
	in.Weight, _ = strconv.Atoi(meta[keyWeight])
	in.Started, _ = time.Parse(time.RFC3339Nano, meta[keyStarted])
	for _, key := range []string{keyRole, keyInstance, keyVersion, keyZone, keyWeight, keyStarted} {
		delete(in.Meta, key)
	}
	if len(in.Meta) == 0 {
		in.Meta = nil
	}
}
