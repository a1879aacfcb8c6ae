package consultest_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A wait is a question that waits, what happens meanwhile, and whether that
// wakes it.
type wait struct {
	name     string
	before   []string
	question string
	change   string
	wakes    bool
}

func waits() []wait {
	one := []string{`PUT agent/service/register {"Name":"web","ID":"a","Port":1,"Check":{"CheckID":"a","TTL":"1h","Status":"passing"}}`}
	alone := append(slices.Clone(one), "PUT agent/service/deregister/b")
	lost := append(slices.Clone(one), "PUT agent/service/deregister/a")
	key := []string{"PUT kv/k/1 x"}
	return []wait{
		{"an instance comes", one, "health/service/web?passing", `PUT agent/service/register {"Name":"web","ID":"b","Port":2}`, true},
		{"the last instance leaves", alone, "health/service/web?passing", "PUT agent/service/deregister/a", true},
		{"the first instance comes", lost, "health/service/web", `PUT agent/service/register {"Name":"web","ID":"a","Port":1}`, true},
		{"a stranger comes to nobody", lost, "health/service/web", `PUT agent/service/register {"Name":"other","Port":1}`, false},
		{"a stranger comes", one, "health/service/web", `PUT agent/service/register {"Name":"other","Port":2}`, false},
		{"nothing is new about an instance", one, "health/service/web", one[0], false},
		{"a heartbeat", one, "health/service/web", `PUT agent/check/update/a {"Status":"passing","Output":"ready"}`, false},
		{"an instance falls ill", one, "health/service/web?passing", "PUT agent/check/fail/a", true},
		{"the node is taken out", one, "health/service/web?passing", "PUT agent/maintenance?enable=true", true},
		{"and in", nil, "health/service/web?passing", "PUT agent/maintenance?enable=false", true},
		{"a check of somebody", one, "health/state/any", "PUT agent/check/warn/a", true},

		{"a key is set", key, "kv/k/1", "PUT kv/k/1 y", true},
		{"a key is set to what it is", key, "kv/k/1", "PUT kv/k/1 x", false},
		{"another key is set", key, "kv/k/1", "PUT kv/k/2 y", false},
		{"a key is deleted", key, "kv/k/1", "DELETE kv/k/1", true},
		{"a key is created", key, "kv/k/new", "PUT kv/k/new y", true},
		{"a key under a prefix", key, "kv/k?recurse", "PUT kv/k/4 y", true},
		{"a key elsewhere", key, "kv/k?recurse", "PUT kv/z y", false},
		{"a key under a prefix is deleted", key, "kv/k?recurse", "DELETE kv/k/1", true},
		{"a swap that fails", key, "kv/k/1", "PUT kv/k/1?cas=1 y", false},
		{"a session ends", []string{`PUT session/create {}`, "PUT kv/s?acquire={session} x"}, "kv/s", "PUT session/destroy/{session}", true},
	}
}

// ends tells whether a question that waits while a change happens has an
// answer with a greater index, and what that is. The change may come before
// the question does: that makes no difference to the answer.
func (s *side) ends(w wait) (observation, time.Duration) {
	for _, call := range w.before {
		s.ask(call)
	}
	s.ask("GET " + w.question)
	index, long := s.indexes[w.question], "200ms"
	if w.wakes {
		long = "30s"
	}
	with := "?"
	if strings.Contains(w.question, "?") {
		with = "&"
	}
	type end struct {
		observation
		took time.Duration
	}
	ended := make(chan end, 1)
	asker := *s // two that share nothing but the session
	s.indexes = map[string]uint64{}
	go func() {
		begun := time.Now()
		ended <- end{asker.ask("GET " + w.question + with + "index=" + text(index) + "&wait=" + long), time.Since(begun)}
	}()
	s.ask(w.change)
	e := <-ended
	return e.observation, e.took
}

func TestFakeWaitsAsARealAgent(t *testing.T) {
	pretended, real := sides(t)
	for _, s := range []*side{pretended, real} {
		if s == nil {
			continue
		}
		for _, w := range waits() {
			got, took := s.ends(w)
			if w.wakes {
				assert.Equal(t, "grown", got.Index, "%s: %s", s.url, w.name)
				assert.Less(t, took, 10*time.Second, "%s: %s", s.url, w.name)
				continue
			}
			assert.NotEqual(t, "back", got.Index)
			assert.GreaterOrEqual(t, took, 200*time.Millisecond, "%s: %s", s.url, w.name)
		}
	}
}

// until asks again and again until the answer has a text in it.
func (s *side) until(question, has string) string {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		o := s.ask("GET " + question + "?wait=10s&index=" + text(s.indexes[question]))
		if strings.Contains(o.Body, has) {
			return o.Body
		}
	}
	require.FailNow(s.t, "waited in vain", "for %q of %s", has, question)
	return ""
}

func TestFakeForgetsHeartbeatsAsARealAgent(t *testing.T) {
	pretended, real := sides(t)
	story := func(s *side) (silent, silenced string) {
		s.ask(`PUT agent/service/register {"Name":"web","Port":1,"Check":{"TTL":"1s","Status":"passing"}}`)
		silent = s.until("health/service/web", "TTL expired")
		s.ask("PUT agent/check/pass/service:web?note=ready")
		s.until("health/service/web", `"Output": "ready"`)
		return silent, s.until("health/service/web", "TTL expired (last output before timeout follows): ready")
	}
	silent, silenced := story(pretended)
	if real != nil {
		realSilent, realSilenced := story(real)
		require.Equal(t, realSilent, silent)
		require.Equal(t, realSilenced, silenced)
	}
}
