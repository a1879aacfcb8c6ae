package fake

import (
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"example.com/app/platform/registry/consul/consultest/filter"
	"example.com/app/platform/registry/consul/consultest/state"
)

// duration reads one, 0 for none.
func duration(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	return time.ParseDuration(text)
}

// An outcome is what a store says, and the index of that. None means that
// there is no such thing.
type outcome struct {
	body  any
	index uint64
	none  bool
}

// noLeader is what the API says while the servers elect one.
func noLeader() error { return refused(http.StatusInternalServerError, "No cluster leader") }

// read answers a question that may wait: at once, or when the index of the
// answer has grown beyond that of the question, or when the wait is over. What
// does not exist goes on not existing in silence.
func (x *Exchange) read(ask func(*state.Store) outcome) (any, error) {
	q := x.Request.URL.Query()
	after, wait, err := waiting(q)
	if err != nil {
		return nil, err
	}
	store, err := x.where(q)
	if err != nil {
		return nil, err
	}
	end := time.NewTimer(wait + jitter(q, wait))
	defer end.Stop()
	if after > 0 {
		defer x.agent.hold()()
	}
	epoch := store.Epoch()
	for absent := false; ; {
		changed := store.Changed()
		o := ask(store)
		if o.none && absent {
			after = max(after, o.index)
		}
		absent = o.none
		if after == 0 || x.hurried || o.index > after || store.Epoch() != epoch || !x.sleep(changed, end.C) {
			x.meta(q, o.index)
			if o.none {
				x.Status = http.StatusNotFound
			}
			return o.body, nil
		}
	}
}

// waiting reads for how long a question may wait for which index.
func waiting(q url.Values) (after uint64, wait time.Duration, err error) {
	if wait, err = duration(q.Get("wait")); err != nil {
		return 0, 0, refused(http.StatusBadRequest, "Invalid wait time")
	}
	if text := q.Get("index"); text != "" {
		if after, err = strconv.ParseUint(text, 10, 64); err != nil {
			return 0, 0, refused(http.StatusBadRequest, "Invalid index")
		}
	}
	const usual, most = 5 * time.Minute, 10 * time.Minute
	if wait <= 0 {
		wait = usual
	}
	return after, min(wait, most), nil
}

// jitter is what Consul adds to a wait, up to a sixteenth. It is the same for
// the same question.
func jitter(q url.Values, wait time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(q.Encode()))
	return time.Duration(rand.New(rand.NewPCG(h.Sum64(), 0)).Int64N(int64(wait/16) + 1))
}

// sleep waits for a change. It reports false when there was something else.
func (x *Exchange) sleep(changed <-chan struct{}, end <-chan time.Time) bool {
	select {
	case <-changed:
		return true
	case <-end:
	case <-x.turned:
	case <-x.Request.Context().Done():
	}
	return false
}

// where finds the store that a question is for.
func (x *Exchange) where(q url.Values) (*state.Store, error) {
	if q.Has("stale") && q.Has("consistent") {
		return nil, refused(http.StatusBadRequest, "Cannot specify ?stale with ?consistent, conflicting semantics.")
	}
	if x.leaderless && !q.Has("stale") {
		return nil, noLeader()
	}
	dc := q.Get("dc")
	switch abroad := x.agent.abroad[dc]; {
	case dc != "" && abroad == nil:
		return nil, refused(http.StatusInternalServerError, "No path to datacenter")
	case dc != "" && dc != x.agent.home.Datacenter():
		return abroad, nil
	case q.Has("stale"):
		return x.store, nil
	}
	return x.agent.home, nil
}

// meta says how far an answer may be trusted.
func (x *Exchange) meta(q url.Values, index uint64) {
	consistency := "leader"
	switch {
	case q.Has("stale"):
		consistency = "stale"
	case q.Has("consistent"):
		consistency = "consistent"
	}
	x.Header.Set("X-Consul-Index", strconv.FormatUint(max(index, 1), 10))
	x.Header.Set("X-Consul-Knownleader", strconv.FormatBool(!x.leaderless))
	x.Header.Set("X-Consul-Lastcontact", "0")
	if path := x.Request.URL.Path; strings.HasPrefix(path, "/v1/health/") || strings.HasPrefix(path, "/v1/catalog/") {
		x.Header.Set("X-Consul-Effective-Consistency", consistency)
	}
}

// filtered returns the entries that a question's filter lets through.
func filtered[V any](x *Exchange, all []V, sample V) ([]V, error) {
	f, err := filter.For(sample, x.Request.URL.Query().Get("filter"))
	if err != nil {
		return nil, err
	}
	kept := []V{}
	for _, v := range all {
		if f.Match(v) {
			kept = append(kept, v)
		}
	}
	return kept, nil
}

// wants reports whether an entry has all tags that a question names, and
// passes all its checks if the question wants that.
func wants(q url.Values, e *api.ServiceEntry) bool {
	for _, tag := range q["tag"] {
		has := false
		for _, t := range e.Service.Tags {
			has = has || t == tag
		}
		if !has {
			return false
		}
	}
	if passing, err := strconv.ParseBool(q.Get("passing")); !q.Has("passing") || err == nil && !passing {
		return true
	}
	for _, check := range e.Checks {
		if check.Status != api.HealthPassing {
			return false
		}
	}
	return true
}

func healthService(x *Exchange, name string) (any, error) {
	q := x.Request.URL.Query()
	if name == "" {
		return nil, refused(http.StatusBadRequest, "Missing service name")
	}
	if _, err := filtered(x, nil, &api.ServiceEntry{}); err != nil {
		return nil, err
	}
	return x.read(func(s *state.Store) outcome {
		all, index := s.Health(name)
		kept := []*api.ServiceEntry{}
		for _, e := range all {
			if wants(q, e) {
				kept = append(kept, e)
			}
		}
		kept, _ = filtered(x, kept, &api.ServiceEntry{})
		return outcome{body: kept, index: index}
	})
}

func healthState(x *Exchange, status string) (any, error) {
	return x.read(func(s *state.Store) outcome {
		all, index := s.Checks(func(c *api.HealthCheck) bool { return status == api.HealthAny || c.Status == status })
		return outcome{body: all, index: index}
	})
}

func catalogNodes(x *Exchange, _ string) (any, error) {
	return x.read(func(s *state.Store) outcome {
		all, index := s.Nodes()
		return outcome{body: all, index: index}
	})
}

func catalogServices(x *Exchange, _ string) (any, error) {
	return x.read(func(s *state.Store) outcome {
		all, index := s.Services()
		return outcome{body: all, index: index}
	})
}

func catalogService(x *Exchange, name string) (any, error) {
	q := x.Request.URL.Query()
	q.Del("passing")
	return x.read(func(s *state.Store) outcome {
		all, index := s.Instances(name)
		flat := []*api.CatalogService{}
		for _, e := range all {
			if wants(q, e) {
				flat = append(flat, flatten(e))
			}
		}
		return outcome{body: flat, index: index}
	})
}

// flatten is an entry as the catalogue shows it.
func flatten(e *api.ServiceEntry) *api.CatalogService {
	return &api.CatalogService{
		Node: e.Node.Node, Address: e.Node.Address, Datacenter: e.Node.Datacenter,
		ServiceID: e.Service.ID, ServiceName: e.Service.Service, ServiceAddress: e.Service.Address,
		ServiceTaggedAddresses: e.Service.TaggedAddresses, ServiceTags: e.Service.Tags, ServiceMeta: e.Service.Meta,
		ServicePort: e.Service.Port, ServiceWeights: api.Weights(e.Service.Weights),
		ServiceEnableTagOverride: e.Service.EnableTagOverride,
		CreateIndex:              e.Service.CreateIndex, ModifyIndex: e.Service.ModifyIndex,
	}
}

func (a *Agent) datacenters(*Exchange, string) (any, error) { return sorted(a.abroad), nil }

func leader(x *Exchange, _ string) (any, error) {
	if x.leaderless {
		return "", nil
	}
	return "127.0.0.1:8300", nil
}

func peers(*Exchange, string) (any, error) { return []string{"127.0.0.1:8300"}, nil }
