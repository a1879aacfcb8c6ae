package fake

import (
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"

	"github.com/hashicorp/consul/api"

	"example.com/app/platform/registry/consul/consultest/filter"
)

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// passes returns the values of m that the request's filter lets through.
func passes[V any](x *Exchange, m map[string]V, sample V) (map[string]V, error) {
	f, err := filter.For(sample, x.Request.URL.Query().Get("filter"))
	if err != nil {
		return nil, err
	}
	all := map[string]V{}
	for key, v := range m {
		if f.Match(v) {
			all[key] = v
		}
	}
	return all, nil
}

func (a *Agent) self(*Exchange, string) (any, error) {
	return map[string]any{
		"Config": map[string]any{
			"Datacenter": a.home.Datacenter(), "PrimaryDatacenter": a.home.Datacenter(), "NodeName": a.node, "Server": true,
		},
		"Member": map[string]any{"Name": a.node},
	}, nil
}

func (a *Agent) services(x *Exchange, _ string) (any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := map[string]*api.AgentService{}
	for id := range a.local.services {
		all[id] = a.shown(id)
	}
	return passes(x, all, &api.AgentService{})
}

func (a *Agent) checks(x *Exchange, _ string) (any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return passes(x, a.local.checks, &api.HealthCheck{})
}

func (a *Agent) service(_ *Exchange, id string) (any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.local.services[id] == nil {
		return nil, refused(http.StatusNotFound, "unknown service ID: %s", id)
	}
	return a.shown(id), nil
}

// shown is a service as the agent, not the catalogue, shows it. The caller
// holds a.mu.
func (a *Agent) shown(id string) *api.AgentService {
	s := *a.local.services[id]
	s.Datacenter = a.home.Datacenter()
	if s.Meta == nil {
		s.Meta = map[string]string{}
	}
	return &s
}

// decode reads the body of a request.
func decode(x *Exchange, v any) error {
	if err := json.NewDecoder(x.Request.Body).Decode(v); err != nil {
		return refused(http.StatusBadRequest, "Request decode failed: %v", err)
	}
	return nil
}

func (a *Agent) register(x *Exchange, _ string) (any, error) {
	var told api.AgentServiceRegistration
	if err := decode(x, &told); err != nil {
		return nil, err
	}
	if told.Name == "" {
		return nil, refused(http.StatusBadRequest, "Missing service name")
	}
	if ip := net.ParseIP(told.Address); ip != nil && ip.IsUnspecified() {
		return nil, refused(http.StatusBadRequest, "Invalid service address")
	}
	if told.ID == "" {
		told.ID = told.Name
	}
	checks := told.Checks
	if told.Check != nil {
		checks = append(checks, told.Check)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var enter []func()
	for i, c := range checks {
		check, t, err := a.check(told, c, i)
		if err != nil {
			return nil, err
		}
		enter = append(enter, func() { a.setCheck(check, t) })
	}
	a.local.services[told.ID] = a.asService(told)
	for _, f := range enter {
		f()
	}
	a.sync()
	return nil, nil
}

// asService is a registration as the agent lists it.
func (a *Agent) asService(told api.AgentServiceRegistration) *api.AgentService {
	s := &api.AgentService{
		ID: told.ID, Service: told.Name, Address: told.Address, Port: told.Port,
		Tags: append([]string{}, told.Tags...), Meta: told.Meta,
		Weights: api.AgentWeights{Passing: 1, Warning: 1}, EnableTagOverride: told.EnableTagOverride,
	}
	if told.Weights != nil {
		s.Weights = *told.Weights
	}
	if ip := net.ParseIP(told.Address); ip != nil {
		kind := "ipv6"
		if ip.To4() != nil {
			kind = "ipv4"
		}
		at := api.ServiceAddress{Address: told.Address, Port: told.Port}
		s.TaggedAddresses = map[string]api.ServiceAddress{"lan_" + kind: at, "wan_" + kind: at}
	}
	return s
}

// check is a check of a registration. One that is known already keeps the
// state that it is in, whatever the registration says. The caller holds a.mu.
func (a *Agent) check(told api.AgentServiceRegistration, c *api.AgentServiceCheck, i int) (*api.HealthCheck, *timers, error) {
	t := &timers{}
	var err error
	if t.ttl, err = duration(c.TTL); err == nil {
		t.gc, err = duration(c.DeregisterCriticalServiceAfter)
	}
	switch {
	case err != nil:
		return nil, nil, refused(http.StatusBadRequest, "Request decode failed: %v", err)
	case t.ttl <= 0:
		return nil, nil, refused(http.StatusBadRequest, "Invalid check: TTL must be > 0 for TTL checks")
	case !slices.Contains([]string{"", "passing", "warning", "critical"}, c.Status):
		return nil, nil, refused(http.StatusBadRequest, "Status for checks must 'passing', 'warning', 'critical'")
	}
	if t.gc > 0 {
		t.gc = max(t.gc, leastGC)
	}
	h := &api.HealthCheck{
		Node: a.node, CheckID: c.CheckID, Name: c.Name, Notes: c.Notes, Status: c.Status,
		ServiceID: told.ID, ServiceName: told.Name, ServiceTags: append([]string{}, told.Tags...), Type: "ttl",
	}
	if h.CheckID == "" {
		h.CheckID = "service:" + told.ID
		if i > 0 || len(told.Checks) > 1 {
			h.CheckID += ":" + strconv.Itoa(i+1)
		}
	}
	if h.Name == "" {
		h.Name = "Service '" + told.Name + "' check"
	}
	if h.Status == "" {
		h.Status = api.HealthCritical
	}
	if old := a.local.checks[h.CheckID]; old != nil {
		h.Status, h.Output = old.Status, old.Output
	}
	return h, t, nil
}

func (a *Agent) deregister(_ *Exchange, id string) (any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.local.services[id] == nil {
		return nil, unknownService(id)
	}
	a.removeService(id)
	a.sync()
	return nil, nil
}

func unknownService(id string) error {
	return refused(http.StatusNotFound, "Unknown service ID %q. Ensure that the service ID is passed, not the service name.", id)
}

func (a *Agent) deregisterCheck(_ *Exchange, id string) (any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.local.checks[id] == nil {
		return nil, refused(http.StatusNotFound, "Unknown check ID %q. Ensure that the check ID is passed, not the check name.", id)
	}
	a.removeCheck(id)
	a.sync()
	return nil, nil
}

// note is the endpoint that gives a check a state.
func (a *Agent) note(status string) func(*Exchange, string) (any, error) {
	return func(x *Exchange, id string) (any, error) {
		return nil, a.report(id, status, x.Request.URL.Query().Get("note"))
	}
}

func (a *Agent) update(x *Exchange, id string) (any, error) {
	var told struct{ Status, Output string }
	if err := decode(x, &told); err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"passing", "warning", "critical"}, told.Status) {
		return nil, refused(http.StatusBadRequest, "Invalid check status: '%s'", told.Status)
	}
	return nil, a.report(id, told.Status, told.Output)
}

func (a *Agent) serviceMaintenance(x *Exchange, id string) (any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	check := &api.HealthCheck{
		CheckID: api.ServiceMaintPrefix + id, Name: "Service Maintenance Mode",
		Notes:     "Maintenance mode is enabled for this service, but no reason was provided. This is a default message.",
		ServiceID: id,
	}
	if s := a.local.services[id]; s != nil {
		check.ServiceName, check.ServiceTags = s.Service, s.Tags
		return nil, a.maintain(x, check)
	}
	if err := a.maintain(x, nil); err != nil {
		return nil, err
	}
	return nil, unknownService(id)
}

func (a *Agent) nodeMaintenance(x *Exchange, _ string) (any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return nil, a.maintain(x, &api.HealthCheck{
		CheckID: api.NodeMaint, Name: "Node Maintenance Mode", ServiceTags: []string{},
		Notes: "Maintenance mode is enabled for this node, but no reason was provided. This is a default message.",
	})
}

// maintain enters or removes a check, if any, as the request says. The caller
// holds a.mu.
func (a *Agent) maintain(x *Exchange, check *api.HealthCheck) error {
	query := x.Request.URL.Query()
	if !query.Has("enable") {
		return refused(http.StatusBadRequest, "Missing value for enable")
	}
	enable, err := strconv.ParseBool(query.Get("enable"))
	if err != nil {
		return refused(http.StatusBadRequest, "Invalid value for enable: %q", query.Get("enable"))
	}
	if check == nil {
		return nil
	}
	known := a.local.checks[check.CheckID] != nil
	if !enable && known {
		a.removeCheck(check.CheckID)
	}
	if enable && !known {
		check.Node, check.Status, check.Type = a.node, api.HealthCritical, "maintenance"
		if reason := query.Get("reason"); reason != "" {
			check.Notes = reason
		}
		a.setCheck(check, &timers{})
	}
	a.sync()
	return nil
}
