package fake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/consul/api"

	"example.com/app/platform/registry/consul/consultest/state"
)

// An entry is a session on the wire.
type entry struct {
	ID            string
	Name          string
	Node          string
	LockDelay     time.Duration
	Behavior      string
	TTL           string
	NodeChecks    []string
	ServiceChecks []api.ServiceCheck
	CreateIndex   uint64
	ModifyIndex   uint64
}

func entries(all []*api.SessionEntry) []entry {
	list := []entry{}
	for _, s := range all {
		list = append(list, entry{
			s.ID, s.Name, s.Node, s.LockDelay, s.Behavior, s.TTL, s.NodeChecks, s.ServiceChecks, s.CreateIndex, s.CreateIndex,
		})
	}
	return list
}

func (a *Agent) createSession(x *Exchange, _ string) (any, error) {
	told := struct {
		Name, Node, Behavior, TTL string
		LockDelay                 any
		NodeChecks                []string
	}{Node: a.node, NodeChecks: []string{"serfHealth"}}
	if x.Request.ContentLength > 0 {
		if err := decode(x, &told); err != nil {
			return nil, err
		}
	}
	delay, err := lockDelay(told.LockDelay)
	if err != nil {
		return nil, refused(http.StatusBadRequest, "Request decode failed: %v", err)
	}
	if x.leaderless {
		return nil, noLeader()
	}
	id, err := a.home.Open(api.SessionEntry{
		Name: told.Name, Node: told.Node, Behavior: told.Behavior, TTL: told.TTL,
		LockDelay: delay, NodeChecks: told.NodeChecks,
	})
	if err != nil {
		return nil, err
	}
	return map[string]string{"ID": id}, nil
}

// lockDelay reads a delay as Consul does: in words, in nanoseconds, or, if
// that makes next to nothing, in seconds.
func lockDelay(told any) (time.Duration, error) {
	switch d := told.(type) {
	case string:
		return time.ParseDuration(d)
	case float64:
		if d < float64(time.Millisecond) {
			return time.Duration(d * float64(time.Second)), nil
		}
		return time.Duration(d), nil
	case nil:
		return 15 * time.Second, nil
	}
	return 0, &json.UnsupportedValueError{Str: fmt.Sprint(told)}
}

func destroySession(x *Exchange, id string) (any, error) {
	if id == "" {
		return nil, refused(http.StatusBadRequest, "Missing session")
	}
	if x.leaderless {
		return nil, noLeader()
	}
	x.agent.home.Close(id)
	return true, nil
}

func renewSession(x *Exchange, id string) (any, error) {
	if x.leaderless {
		return nil, noLeader()
	}
	s, ok := x.agent.home.Renew(id)
	if !ok {
		return nil, refused(http.StatusNotFound, "Session id '%s' not found", id)
	}
	return entries([]*api.SessionEntry{s}), nil
}

func infoSession(x *Exchange, id string) (any, error) {
	return x.read(func(s *state.Store) outcome {
		all, index := s.Sessions(id)
		return outcome{body: entries(all), index: index}
	})
}

func listSessions(x *Exchange, _ string) (any, error) { return infoSession(x, "") }
