package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"example.com/app/platform/registry"
)

// callTime is how long a call of the agent may take that waits for nothing.
const callTime = 5 * time.Second

// An agent is where one instance is registered.
type agent struct {
	client *api.Client
	told   *api.AgentServiceRegistration
	ttl    time.Duration
	gc     time.Duration
}

// check is the id of the instance's own check.
func (a *agent) check() string { return "service:" + a.told.ID }

// options bound a read.
func options(ctx context.Context) (*api.QueryOptions, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	return (&api.QueryOptions{}).WithContext(ctx), cancel
}

// finishing returns a context for a write. It outlives ctx a little: a write
// that is cut off half-way may still arrive, after the deregistration.
func finishing(ctx context.Context) (context.Context, context.CancelFunc) {
	w, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	forget := context.AfterFunc(ctx, func() {
		grace, end := context.WithTimeout(w, time.Second)
		<-grace.Done()
		end()
		cancel()
	})
	return w, func() { forget(); cancel() }
}

// register tells the agent everything about the instance. Its check begins in
// the state the instance is in, so that it is not critical for a moment; other
// checks, such as an operator's maintenance, are left alone.
func (a *agent) register(ctx context.Context, sick error) error {
	ctx, cancel := finishing(ctx)
	defer cancel()
	status, _ := verdict(sick)
	s := *a.told
	s.Check = &api.AgentServiceCheck{
		CheckID: a.check(), Name: "says that it is ready", TTL: a.ttl.String(), Status: status,
		Notes:                          "The instance reports its own readiness every " + (a.ttl / 3).String() + ".",
		DeregisterCriticalServiceAfter: a.gc.String(),
	}
	err := a.client.Agent().ServiceRegisterOpts(&s, api.ServiceRegisterOpts{}.WithContext(ctx))
	if err != nil {
		return Explain("list "+s.ID, err)
	}
	return nil
}

// beat renews the TTL.
func (a *agent) beat(ctx context.Context, sick error) error {
	ctx, cancel := finishing(ctx)
	defer cancel()
	status, output := verdict(sick)
	err := a.client.Agent().UpdateTTLOpts(a.check(), output, status, (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return Explain("list "+a.told.ID, err)
	}
	return nil
}

// verdict is a state of health in Consul's words.
func verdict(sick error) (status, output string) {
	if sick != nil {
		return api.HealthCritical, sick.Error()
	}
	return api.HealthPassing, "ready"
}

// known reports whether the agent knows the instance as it was told.
func (a *agent) known(ctx context.Context) (bool, error) {
	opts, cancel := options(ctx)
	defer cancel()
	s, _, err := a.client.Agent().Service(a.told.ID, opts)
	if gone(err) {
		return false, nil
	}
	if err != nil {
		return false, Explain("list "+a.told.ID, err)
	}
	return sameService(a.told, s), nil
}

// gone reports whether err says that there is no such thing.
func gone(err error) bool {
	var status api.StatusError
	return errors.As(err, &status) && status.Code == http.StatusNotFound
}

// maintenance returns why an operator keeps the instance out; empty: nobody
// does.
func (a *agent) maintenance(ctx context.Context) (string, error) {
	opts, cancel := options(ctx)
	defer cancel()
	filter := fmt.Sprintf("CheckID == %q or CheckID == %q", api.ServiceMaintPrefix+a.told.ID, api.NodeMaint)
	checks, err := a.client.Agent().ChecksWithFilterOpts(filter, opts)
	if err != nil {
		return "", Explain("list "+a.told.ID, err)
	}
	for _, c := range checks {
		return "in maintenance: " + c.Notes, nil
	}
	return "", nil
}

// seen waits, for a while, until the catalogue lists the instance as passing.
func (a *agent) seen(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, min(a.ttl/3, callTime))
	defer cancel()
	opts := &api.QueryOptions{Filter: fmt.Sprintf("Service.ID == %q", a.told.ID), WaitTime: a.ttl / 3}
	for {
		entries, meta, err := a.client.Health().Service(a.told.Name, "", true, opts.WithContext(ctx))
		switch {
		case ctx.Err() != nil:
			return false, nil
		case err != nil:
			return false, Explain("list "+a.told.ID, err)
		case len(entries) > 0:
			return true, nil
		}
		opts.WaitIndex = max(meta.LastIndex, 1)
		pause(ctx, each/10)
	}
}

// sweep removes what an earlier run of this program left behind: instances of
// the same origin at the same address, begun before in. An address alone says
// little: in two network namespaces it stands for two instances.
func (a *agent) sweep(ctx context.Context, in registry.Instance) error {
	opts, cancel := options(ctx)
	defer cancel()
	services, err := a.client.Agent().ServicesWithFilterOpts(fmt.Sprintf("Service == %q", in.Role), opts)
	if err != nil {
		return Explain("list "+in.ID, err)
	}
	for _, s := range services {
		old := instance(in.Role, &api.ServiceEntry{Service: s})
		ours := s.Meta[keyInstance] == s.ID && old.ID != in.ID && old.Addr == in.Addr && origin(old.ID) == origin(in.ID)
		if ours && !old.Started.After(in.Started) {
			if err := a.deregister(ctx, old.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// origin is an instance id without the nonce of its start, which comes after
// the last dash.
func origin(id string) string {
	if i := strings.LastIndexByte(id, '-'); i >= 0 {
		return id[:i]
	}
	return id
}

// deregister takes an id off the agent's list.
func (a *agent) deregister(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	err := a.client.Agent().ServiceDeregisterOpts(id, (&api.QueryOptions{}).WithContext(ctx))
	if err != nil && !gone(err) {
		return Explain("deregister "+id, err)
	}
	return nil
}
