package fake

import (
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/consul/api"
)

// local is what an agent was told: its own truth, which it makes the
// catalogue's as well whenever there is a leader. Entries are replaced, never
// written to.
type local struct {
	services map[string]*api.AgentService
	checks   map[string]*api.HealthCheck
	timers   map[string]*timers // by id of the check
}

// timers are what becomes of a check that nobody touches.
type timers struct {
	ttl, gc time.Duration // 0: never
	output  string        // that was told last
	expiry  *time.Timer   // turns it critical
	reaper  *time.Timer   // removes its service
}

func newLocal() local {
	return local{map[string]*api.AgentService{}, map[string]*api.HealthCheck{}, map[string]*timers{}}
}

// leastGC is the shortest time after which Consul removes a service.
const leastGC = time.Minute

// stop ends what would become of a check.
func (t *timers) stop() {
	for _, timer := range []*time.Timer{t.expiry, t.reaper} {
		if timer != nil {
			timer.Stop()
		}
	}
}

// sync tells the catalogue what the agent knows, if there is a leader to tell
// it to. The caller holds a.mu.
func (a *Agent) sync() {
	if !a.leaderless() {
		a.home.Sync(a.node, a.local.services, a.local.checks)
	}
}

// setCheck enters a check and begins its times. The caller holds a.mu.
func (a *Agent) setCheck(check *api.HealthCheck, t *timers) {
	if old := a.local.timers[check.CheckID]; old != nil {
		old.stop()
	}
	a.local.timers[check.CheckID] = t
	a.setStatus(check)
}

// setStatus enters a new state of a check that has timers, and winds them up.
// The caller holds a.mu.
func (a *Agent) setStatus(check *api.HealthCheck) {
	id := check.CheckID
	t := a.local.timers[id]
	a.local.checks[id] = check
	if t.expiry != nil {
		t.expiry.Stop()
	}
	if t.ttl > 0 {
		t.expiry = time.AfterFunc(t.ttl, func() { a.expire(id, t) })
	}
	a.mind(check, t)
}

// mind begins or ends the time after which a critical check costs its service
// its place. The caller holds a.mu.
func (a *Agent) mind(check *api.HealthCheck, t *timers) {
	critical := check.Status == api.HealthCritical
	if !critical && t.reaper != nil {
		t.reaper.Stop()
		t.reaper = nil
	}
	if critical && t.reaper == nil && t.gc > 0 {
		id := check.CheckID
		t.reaper = time.AfterFunc(t.gc, func() { a.reap(id, t) })
	}
}

// expire turns a check critical whose TTL has passed.
func (a *Agent) expire(id string, t *timers) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.local.timers[id] != t {
		return
	}
	check := *a.local.checks[id]
	check.Status, check.Output = api.HealthCritical, "TTL expired"
	if t.output != "" {
		check.Output += " (last output before timeout follows): " + t.output
	}
	a.local.checks[id] = &check
	a.mind(&check, t)
	a.sync()
}

// reap removes the service of a check that stayed critical.
func (a *Agent) reap(id string, t *timers) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.local.timers[id] == t {
		a.removeService(a.local.checks[id].ServiceID)
		a.sync()
	}
}

// removeService removes a service and its checks. The caller holds a.mu.
func (a *Agent) removeService(id string) {
	delete(a.local.services, id)
	for _, check := range sorted(a.local.checks) {
		if a.local.checks[check].ServiceID == id {
			a.removeCheck(check)
		}
	}
}

// removeCheck removes a check. The caller holds a.mu.
func (a *Agent) removeCheck(id string) {
	a.local.timers[id].stop()
	delete(a.local.timers, id)
	delete(a.local.checks, id)
}

// forget loses everything that the agent was told. The caller holds a.mu.
func (a *Agent) forget() {
	for _, t := range a.local.timers {
		t.stop()
	}
	a.local = newLocal()
}

// report enters what somebody says about a check.
func (a *Agent) report(id, status, output string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.local.checks[id]
	if old == nil {
		return refused(http.StatusNotFound, "Unknown check ID %q. Ensure that the check ID is passed, not the check name.", id)
	}
	t := a.local.timers[id]
	if t.ttl == 0 {
		return fmt.Errorf("CheckID %q does not have associated TTL", id)
	}
	check := *old
	check.Status, check.Output = status, output
	t.output = output
	a.setStatus(&check)
	a.sync()
	return nil
}
