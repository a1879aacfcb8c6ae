package fake

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/hashicorp/consul/api"

	"example.com/app/platform/registry/consul/consultest/state"
)

// maxValue is the size of the longest value that Consul keeps, in bytes.
const maxValue = 512 << 10

// kv is the endpoint of keys.
func kv(x *Exchange, key string) (any, error) {
	q := x.Request.URL.Query()
	tree := q.Has("recurse") || q.Has("keys") && x.Request.Method == http.MethodGet
	if key == "" && !tree {
		return nil, refused(http.StatusBadRequest, "Missing key name")
	}
	switch x.Request.Method {
	case http.MethodPut:
		return x.put(key, q)
	case http.MethodDelete:
		return x.remove(key, q)
	}
	return x.get(key, q)
}

func (x *Exchange) get(key string, q url.Values) (any, error) {
	body, err := x.read(func(s *state.Store) outcome {
		if q.Has("keys") {
			all, index := s.List(key)
			return outcome{names(all, key, q.Get("separator")), index, len(all) == 0 && key != ""}
		}
		if q.Has("recurse") {
			all, index := s.List(key)
			return outcome{pairs(all), index, len(all) == 0}
		}
		one, index := s.Get(key)
		if one == nil {
			return outcome{index: index, none: true}
		}
		if q.Has("raw") {
			return outcome{one.Value, index, false}
		}
		return outcome{pairs(api.KVPairs{one}), index, false}
	})
	if x.Status == http.StatusNotFound {
		return nil, err
	}
	if raw, ok := body.([]byte); ok {
		x.Header.Set("Content-Type", "text/plain; charset=utf-8")
		x.Header.Set("X-Content-Type-Options", "nosniff")
		x.Body = raw
	}
	return body, err
}

// names are the keys of pairs, cut after the first separator beyond a prefix.
func names(all api.KVPairs, prefix, separator string) []string {
	list := []string{}
	for _, kv := range all {
		name := kv.Key
		if i := strings.Index(name[len(prefix):], separator); separator != "" && i >= 0 {
			name = name[:len(prefix)+i+len(separator)]
		}
		if len(list) == 0 || list[len(list)-1] != name {
			list = append(list, name)
		}
	}
	return list
}

// A pair is a key on the wire.
type pair struct {
	LockIndex   uint64
	Key         string
	Flags       uint64
	Value       []byte
	Session     string `json:",omitempty"`
	CreateIndex uint64
	ModifyIndex uint64
}

func pairs(all api.KVPairs) []pair {
	var list []pair
	for _, kv := range all {
		p := pair{kv.LockIndex, kv.Key, kv.Flags, kv.Value, kv.Session, kv.CreateIndex, kv.ModifyIndex}
		if len(p.Value) == 0 {
			p.Value = nil
		}
		list = append(list, p)
	}
	return list
}

// only reports whether a request has at most one of these flags.
func (x *Exchange) only(q url.Values, flags ...string) error {
	found := url.Values{}
	for _, f := range flags {
		if q.Has(f) {
			found[f] = q[f]
		}
	}
	if len(found) > 1 {
		return refused(http.StatusBadRequest, "Conflicting flags: %s\n", found.Encode())
	}
	return nil
}

func (x *Exchange) put(key string, q url.Values) (any, error) {
	if err := x.only(q, "cas", "acquire", "release"); err != nil {
		return nil, err
	}
	op := &api.KVTxnOp{Verb: api.KVSet, Key: key}
	var err error
	if q.Has("flags") {
		if op.Flags, err = strconv.ParseUint(q.Get("flags"), 10, 64); err != nil {
			return nil, err
		}
	}
	switch {
	case q.Has("cas"):
		op.Verb = api.KVCAS
		if op.Index, err = strconv.ParseUint(q.Get("cas"), 10, 64); err != nil {
			return nil, err
		}
	case q.Has("acquire"):
		op.Verb, op.Session = api.KVLock, q.Get("acquire")
	case q.Has("release"):
		op.Verb, op.Session = api.KVUnlock, q.Get("release")
	}
	if op.Value, err = x.value(); err != nil {
		return nil, err
	}
	return x.apply(op)
}

// value reads the body of a request, unless it is too long.
func (x *Exchange) value() ([]byte, error) {
	if n := x.Request.ContentLength; n > maxValue {
		return nil, refused(http.StatusRequestEntityTooLarge, "Request body(%d bytes) too large, max size: %d bytes. "+
			"See https://developer.hashicorp.com/docs/agent/config/config-files#kv_max_value_size.", n, maxValue)
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, x.Request.Body, maxValue+1))
	if tooLong := new(http.MaxBytesError); errors.As(err, &tooLong) {
		return nil, refused(http.StatusRequestEntityTooLarge, "Request body too large. Max allowed is %d bytes.", maxValue)
	}
	return body, err
}

func (x *Exchange) remove(key string, q url.Values) (any, error) {
	if err := x.only(q, "recurse", "cas"); err != nil {
		return nil, err
	}
	op := &api.KVTxnOp{Verb: api.KVDelete, Key: key}
	if q.Has("recurse") {
		op.Verb = api.KVDeleteTree
	}
	if q.Has("cas") {
		op.Verb = api.KVDeleteCAS
		var err error
		if op.Index, err = strconv.ParseUint(q.Get("cas"), 10, 64); err != nil {
			return nil, err
		}
	}
	return x.apply(op)
}

func (x *Exchange) apply(op *api.KVTxnOp) (any, error) {
	if x.leaderless {
		return nil, noLeader()
	}
	done, err := x.agent.home.Write(op)
	if err != nil {
		return nil, fmt.Errorf("raft apply failed: %w", err)
	}
	return done, nil
}

// txn is the endpoint of transactions over keys.
func txn(x *Exchange, _ string) (any, error) {
	var told []struct{ KV *api.KVTxnOp }
	if err := json.NewDecoder(x.Request.Body).Decode(&told); err != nil {
		return nil, refused(http.StatusBadRequest, "Failed to parse body: %v", err)
	}
	var ops []*api.KVTxnOp
	reads := true
	for _, t := range told {
		if t.KV == nil {
			return nil, refused(http.StatusBadRequest, "only operations on keys are understood")
		}
		ops = append(ops, t.KV)
		reads = reads && (t.KV.Verb == api.KVGet || strings.HasPrefix(string(t.KV.Verb), "check-"))
	}
	if x.leaderless {
		return nil, noLeader()
	}
	if reads {
		x.Header.Set("X-Consul-Knownleader", "true")
		x.Header.Set("X-Consul-Lastcontact", "0")
	}
	results, at, failure := x.agent.home.Transact(ops)
	if failure != nil {
		x.Status = http.StatusConflict
		what := map[string]any{"OpIndex": at, "What": failure.Error()}
		return map[string]any{"Results": nil, "Errors": []any{what}}, nil //nolint:nilerr // the failure is the answer
	}
	all := []any{}
	for _, p := range pairs(results) {
		all = append(all, map[string]any{"KV": p})
	}
	return map[string]any{"Results": all, "Errors": nil}, nil
}
