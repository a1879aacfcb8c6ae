package consultest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	stdnet "net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/network"
	"example.com/app/platform/registry/consul/consultest"
	"example.com/app/platform/registry/consul/consultest/fake"
	"example.com/app/platform/registry/consul/consultest/state"
)

// A side is an agent, real or not, with what was seen of it so far.
type side struct {
	t       *testing.T
	url     string
	client  *http.Client
	indexes map[string]uint64 // of the last answer, by path
	session string            // that was made last
}

// sides are a fake agent in memory and a real one.
func sides(t *testing.T) (pretended, real *side) {
	net := network.NewMemory()
	l, err := net.Host("consul").Listen(t.Context(), "consul:8500")
	require.NoError(t, err)
	server := &http.Server{Handler: fake.New("node-1", state.New("dc1"))}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	here := net.Host("here")
	transport := &http.Transport{DialContext: func(ctx context.Context, _, addr string) (stdnet.Conn, error) {
		return here.Dial(ctx, addr)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	pretended = &side{t: t, url: "http://consul:8500", client: &http.Client{Transport: transport}, indexes: map[string]uint64{}}
	if testing.Short() {
		return pretended, nil
	}
	agent := consultest.Agent(t)
	return pretended, &side{t: t, url: "http://" + agent.Addr(), client: &http.Client{}, indexes: map[string]uint64{}}
}

// An observation is what must be the same on both sides.
type observation struct {
	Status int
	Header http.Header
	Index  string // first, same, grown or back
	Body   string
}

func (o observation) String() string {
	lines := []string{fmt.Sprint("status ", o.Status), "index " + o.Index}
	for _, key := range slices.Sorted(maps.Keys(o.Header)) {
		lines = append(lines, key+": "+strings.Join(o.Header[key], ", "))
	}
	return strings.Join(append(lines, o.Body), "\n")
}

// differences are the lines that only one of two texts has.
func differences(want, got string) []string {
	var all []string
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for _, line := range a {
		if !slices.Contains(b, line) {
			all = append(all, "- "+line)
		}
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			all = append(all, "+ "+line)
		}
	}
	if len(all) == 0 && want != got {
		all = []string{"another order:\n" + want + "\n+\n" + got}
	}
	return all
}

// ask puts a request. A "{session}" stands for the last one made.
func (s *side) ask(call string) observation {
	s.t.Helper()
	method, rest, _ := strings.Cut(call, " ")
	path, body, _ := strings.Cut(rest, " ")
	path = strings.ReplaceAll(path, "{session}", s.session)
	if n, err := strconv.Atoi(strings.TrimSuffix(body, "×x")); err == nil {
		body = strings.Repeat("x", n)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+"/v1/"+path, strings.NewReader(body))
	require.NoError(s.t, err)
	resp, err := s.client.Do(req)
	require.NoError(s.t, err, call)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	if strings.HasPrefix(path, "session/create") {
		var made struct{ ID string }
		_ = json.Unmarshal(raw, &made)
		s.session = made.ID
	}
	return observation{resp.StatusCode, interesting(resp.Header), s.index(path, resp.Header), s.normal(raw)}
}

// interesting are the headers that clients look at.
func interesting(h http.Header) http.Header {
	kept := http.Header{}
	for _, key := range []string{
		"Allow", "Content-Type", "X-Consul-Knownleader", "X-Consul-Lastcontact", "X-Consul-Effective-Consistency",
		"X-Consul-Default-Acl-Policy", "X-Content-Type-Options",
	} {
		if v := h.Values(key); len(v) > 0 {
			kept[key] = v
		}
	}
	if len(h.Values("Content-Type")) > 0 { // charsets come and go
		kept.Set("Content-Type", strings.SplitN(h.Get("Content-Type"), ";", 2)[0])
	}
	return kept
}

// index says how the index of an answer relates to the last one.
func (s *side) index(path string, h http.Header) string {
	text := h.Get("X-Consul-Index")
	if text == "" {
		return ""
	}
	path = regexp.MustCompile(`[?&](index|wait)=[^&]*`).ReplaceAllString(path, "")
	now, err := strconv.ParseUint(text, 10, 64)
	require.NoError(s.t, err)
	before, known := s.indexes[path]
	s.indexes[path] = now
	switch {
	case !known:
		return "first"
	case now == before:
		return "same"
	case now > before:
		return "grown"
	}
	return "back"
}

// normal is a body without what differs between any two agents, and without
// what the fake leaves out because no program here reads it.
func (s *side) normal(raw []byte) string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		text := string(raw)
		if s.session != "" {
			text = strings.ReplaceAll(text, s.session, "{session}")
		}
		text = regexp.MustCompile(`[:\d() ]*(no match found).*`).ReplaceAllString(text, "$1 …") // the words of a parser
		return text
	}
	out, err := json.MarshalIndent(s.plain(v), "", " ")
	require.NoError(s.t, err)
	return string(out)
}

func (s *side) plain(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = s.plain(v[i])
		}
		if !slices.ContainsFunc(v, func(e any) bool { return !isText(e) }) { // sets
			slices.SortFunc(v, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
		}
		return v
	case map[string]any:
		whole := maps.Clone(v)
		maps.DeleteFunc(v, func(key string, _ any) bool { return leftOut(whole, key) })
		for _, key := range slices.Sorted(maps.Keys(v)) {
			switch {
			case strings.HasSuffix(key, "Index") && key != "LockIndex" && key != "OpIndex":
				v[key] = "n"
			case key == "Node" && isText(v[key]):
				v[key] = "the node"
			default:
				v[key] = s.plain(v[key])
			}
		}
		return v
	case string:
		if s.session != "" && v == s.session {
			return "{session}"
		}
		return regexp.MustCompile(`modify index \d+`).ReplaceAllString(v, "modify index …")
	}
	return v
}

// text is an index on the wire.
func text(index uint64) string { return strconv.FormatUint(index, 10) }

func isText(v any) bool { _, ok := v.(string); return ok }

// leftOut names what a real agent says in addition, or in its own way.
func leftOut(of map[string]any, key string) bool {
	_, isService := of["Service"]
	_, isNode := of["TaggedAddresses"]
	if isNode && !isService {
		return slices.Contains([]string{ // about the node
			"ID", "Address", "TaggedAddresses", "Meta", "NodeMeta", "ServiceKind", "ServicePorts", "ServiceSocketPath",
			"ServiceProxy", "ServiceConnect", "ServiceLocality", "Checks", "Partition", "PeerName", "Locality",
		}, key)
	}
	return slices.Contains([]string{
		"ContentHash", "Proxy", "Connect", "PeerName", "Definition", "Interval", "Timeout", "ExposedPort", // of the mesh, and of checks by the agent
		"consul",                                                                                                     // the servers' own service
		"Index", "LastContact", "KnownLeader", "ConsistencyLevel", "NotModified", "Backend", "ResultsFilteredByACLs", // of some transactions only
	}, key)
}

// The calls of the comparison, in order: method, path, body.
func calls() []string {
	web := `{"ID":"a","Name":"web","Port":80,"Address":"10.1.1.1","Tags":["x","v1"],"Meta":{"zone":"n"},` +
		`"Check":{"CheckID":"service:a","Name":"n","Notes":"no","TTL":"15s","Status":"passing","DeregisterCriticalServiceAfter":"10m"}}`
	return []string{
		"GET health/service/web", "GET catalog/services", "GET kv/k", "GET kv/?keys", "GET kv/p/?recurse",

		"PUT agent/service/register " + web,
		"GET agent/service/a", "GET agent/services", "GET agent/checks", "GET agent/service/none",
		"GET health/service/web", "GET health/service/web?passing", "GET health/service/none", "GET health/service/",
		"GET catalog/service/web", "GET catalog/service/none", "GET catalog/services", "GET catalog/nodes", "GET catalog/datacenters",
		"GET health/state/any", "GET health/state/critical",

		"PUT agent/service/register " + web, "GET health/service/web", // no change, no new index
		`PUT agent/check/update/service:a {"Status":"passing","Output":"ready"}`, "GET health/service/web?passing=1",
		`PUT agent/check/update/service:a {"Status":"passing","Output":"ready"}`, "GET health/service/web?passing=1",
		`PUT agent/check/update/service:a {"Status":"happy"}`, `PUT agent/check/update/service:a {`,
		`PUT agent/check/update/none {"Status":"passing"}`, "PUT agent/check/pass/none",
		"PUT agent/check/fail/service:a?note=bad", "GET health/service/web?passing", "GET health/service/web", "GET health/state/critical",
		"PUT agent/service/register " + web, "GET health/service/web", // critical it stays
		"PUT agent/check/warn/service:a", "GET health/service/web?passing=false", "GET health/service/web?passing=true",
		"PUT agent/check/pass/service:a?note=good", "GET health/service/web?stale&passing", "GET health/service/web?consistent",
		"GET health/service/web?near=_agent",

		`PUT agent/service/register {"Name":"web","ID":"b","Port":81,"Weights":{"Passing":3,"Warning":2}}`,
		"GET health/service/web", "GET health/service/web?tag=x", "GET health/service/web?tag=x&tag=v1", "GET health/service/web?tag=none",
		`GET health/service/web?filter=Service.Meta.zone==n`, `GET health/service/web?filter=Service.Meta.zone!=n`,
		`GET health/service/web?filter=x+in+Service.Tags`, `GET health/service/web?filter=not+(Service.ID==a)`,
		`GET health/service/web?filter=Nonsense==n`, `GET health/service/web?filter=Service.ID==`,
		`GET agent/services?filter=Service=="web"+and+Port==81`, `GET agent/services?filter=Nonsense==1`,
		`PUT agent/service/register {"Name":"six","Address":"::1","Port":1,"Checks":[{"TTL":"1m"},{"TTL":"2m","Status":"warning"}]}`,
		"GET health/service/six", "GET agent/checks?filter=ServiceName==six",

		"GET health/service/web?dc=dc1", "GET health/service/web?dc=none",
		"GET health/service/web?index=x", "GET health/service/web?index=1&wait=x", "GET health/service/web?stale&consistent",

		"PUT agent/service/maintenance/a?enable=true&reason=disk", "GET health/service/web?passing", "GET agent/checks",
		`GET agent/checks?filter=CheckID=="_service_maintenance:a"`,
		"PUT agent/service/register " + web, "GET health/service/web", // nor does it end maintenance
		"PUT agent/service/maintenance/a?enable=false", "GET health/service/web?passing",
		"PUT agent/service/maintenance/a", "PUT agent/service/maintenance/a?enable=x", "PUT agent/service/maintenance/none?enable=1",
		"PUT agent/maintenance?enable=true", "GET health/service/web?passing", "GET health/state/critical",
		"PUT agent/maintenance?enable=false", "GET health/service/web?passing", "PUT agent/maintenance",

		`PUT agent/service/register {"ID":"c"}`, `PUT agent/service/register {`, `PUT agent/service/register {"Name":"c","Address":"0.0.0.0"}`,
		`PUT agent/service/register {"Name":"c","Check":{"TTL":"1s","Status":"odd"}}`, `PUT agent/service/register {"Name":"c","Check":{"Name":"x"}}`,
		"GET agent/service/register", "GET nonsense",
		"PUT agent/check/deregister/none", "PUT agent/check/deregister/service:a", "GET health/service/web",
		"PUT agent/service/deregister/none", "PUT agent/service/deregister/b", "GET health/service/web",
		"GET health/service/none",
		"PUT agent/service/deregister/a", "GET health/service/web", "GET health/service/none", "GET catalog/service/none",
		"PUT agent/service/deregister/six", "GET health/service/web", "GET health/service/none", "GET catalog/services",

		"PUT kv/a/b hello", "GET kv/a/b", "GET kv/a/b?raw", "GET kv/none", "GET kv/a?recurse", "GET kv/?recurse", "GET kv/a?keys",
		"PUT kv/a/b hello", "GET kv/a/b", "PUT kv/a/b?flags=7 hello", "GET kv/a/b", "PUT kv/a/c/d x", "GET kv/a/?keys&separator=/",
		"GET kv/?keys", "GET kv/none?keys", "GET kv/none?recurse", "GET kv/", "PUT kv/ x", "POST kv/a",
		"PUT kv/empty", "GET kv/empty",
		"PUT kv/new?cas=5 x", "GET kv/new", "PUT kv/new?cas=0 x", "PUT kv/new?cas=0 x", "PUT kv/new?cas=1 x", "PUT kv/new?cas=z x",
		"PUT kv/new?cas=1&acquire=z x", "DELETE kv/new?cas=1", "DELETE kv/none?cas=7", "DELETE kv/new?cas=0", "DELETE kv/new?cas=0&recurse",
		"GET kv/a/b", "GET kv/none", "DELETE kv/new", "GET kv/new", "GET kv/a/b", "GET kv/none", "DELETE kv/new", "GET kv/new", "DELETE kv/",
		"DELETE kv/a?recurse", "GET kv/a?recurse", "GET kv/a?keys", "GET kv/?keys", "PUT kv/l?acquire=none x",
		"PUT kv/big 524288×x", "PUT kv/big 524289×x",

		`PUT session/create {"TTL":"1s"}`, `PUT session/create {"TTL":"x"}`, `PUT session/create {"Behavior":"x"}`,
		`PUT session/create {"Name":"s","TTL":"10s","LockDelay":"0s"}`,
		"GET session/info/{session}", "GET session/list", "PUT session/renew/{session}",
		"PUT session/renew/00000000-0000-0000-0000-000000000000", "GET session/info/00000000-0000-0000-0000-000000000000",
		"PUT kv/l?acquire={session} held", "GET kv/l", "PUT kv/l?acquire={session} again", "GET kv/l", "PUT kv/l over", "GET kv/l",
		"PUT kv/l?release=00000000-0000-0000-0000-000000000000 x", "PUT kv/l?release={session} free", "GET kv/l",
		"PUT kv/l?acquire={session} held", "GET kv/l", "PUT session/destroy/{session}", "GET kv/l", "PUT session/destroy/{session}",
		"PUT session/destroy/", `PUT session/create {"Behavior":"delete","LockDelay":1}`, "PUT kv/l?acquire={session} held",
		"PUT session/destroy/{session}", "GET kv/l", "GET session/list", "PUT session/create", "PUT kv/l?acquire={session} delayed",

		`PUT txn [{"KV":{"Verb":"set","Key":"t","Value":"aGk="}},{"KV":{"Verb":"get","Key":"t"}}]`, "GET kv/t",
		`PUT txn [{"KV":{"Verb":"set","Key":"u","Value":"aGk="}},{"KV":{"Verb":"cas","Key":"t","Value":"aGk=","Index":1}}]`, "GET kv/u",
		`PUT txn [{"KV":{"Verb":"check-not-exists","Key":"t"}}]`, `PUT txn [{"KV":{"Verb":"check-index","Key":"t","Index":1}}]`,
		`PUT txn [{"KV":{"Verb":"get","Key":"none"}}]`, `PUT txn [{"KV":{"Verb":"delete-cas","Key":"t","Index":1}}]`,
		`PUT txn [{"KV":{"Verb":"delete","Key":"t"}}]`, "GET kv/t", "PUT txn {",
	}
}

func TestFakeAnswersAsARealAgent(t *testing.T) {
	pretended, real := sides(t)
	for i, call := range calls() {
		got := pretended.ask(call)
		if call != "GET nonsense" {
			require.NotContains(t, got.Body, "not a recognized", "%s: the fake does not know it", call)
		}
		if real == nil {
			continue
		}
		want := real.ask(call)
		assert.Empty(t, differences(want.String(), got.String()), "call %d: %s; - is real, + is fake", i, call)
	}
}
