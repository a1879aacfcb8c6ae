package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"example.com/app/platform/errs"
)

// asks is an HTTP role that calls other roles, once each for every request, and
// hands the header X-User on.
func asks(name string, callees ...string) Role {
	return Role{Name: name, Edge: true, New: func(env *Env) (Service, error) {
		conns := make([]*grpc.ClientConn, len(callees))
		for i, callee := range callees {
			var err error
			if conns[i], err = env.Dial(callee); err != nil {
				return nil, err
			}
		}
		return web{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx := metadata.AppendToOutgoingContext(r.Context(), "x-user", r.Header.Get("X-User"))
			for _, conn := range conns {
				if _, err := grpc_testing.NewTestServiceClient(conn).EmptyCall(ctx, new(grpc_testing.Empty)); err != nil {
					http.Error(w, err.Error(), http.StatusBadGateway)
				}
			}
		})}, nil
	}}
}

// request sends n requests of one user.
func (v *visitor) request(user string, n int) {
	v.t.Helper()
	for range n {
		req, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, "http://edge:8080/", http.NoBody)
		require.NoError(v.t, err)
		req.Header.Set("X-User", user)
		res, err := v.client.Do(req)
		require.NoError(v.t, err)
		require.NoError(v.t, res.Body.Close())
		require.Equal(v.t, http.StatusOK, res.StatusCode)
	}
}

// answered is how many calls each host of a role answered.
type answered struct{ journal }

func (a *answered) observe(c Call) { a.note("%s", c.Host) }

// by tells who answered since it was last asked.
func (a *answered) by(role string) map[string]int {
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	count := make(map[string]int)
	for _, host := range a.lines {
		if strings.HasPrefix(host, role+"-") {
			count[host]++
		}
	}
	a.lines = nil
	return count
}

func TestCallsAreSharedAsConfiguredForTheRoleOrForAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, v := operate(t, Config{
			Roles:   []Role{asks("www", "a", "b"), serves("a", new(echo)), serves("b", new(echo))},
			Balance: map[string]Balance{"": {Policy: "random"}, "a": {Policy: "ring_hash:bound=2"}},
		})
		<-s.Started()
		v.request("Ada", 1)
		_, text, _ := v.get("http://edge:9090/debug/balance")
		require.Contains(t, text, "www-1 calls a: ring_hash:bound=2, 1 of 1 instances can be reached\n")
		require.Contains(t, text, "www-1 calls b: random, 1 of 1 instances can be reached\n")
	})
}

func TestAHeaderKeepsCallsTogether(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var who answered
		s, v := operate(t, Config{
			Roles: []Role{asks("www", "a"), serves("a", new(echo))}, Run: map[string]int{"www": 1, "a": 8},
			Balance: map[string]Balance{"a": {Policy: "maglev", Header: "x-user"}}, Observe: who.observe,
		})
		<-s.Started()
		synctest.Wait()
		all := make(map[string]int)
		for user := range 20 {
			v.request(fmt.Sprint(user), 10)
			one := who.by("a")
			require.Len(t, one, 1, "calls of one user go to one instance")
			maps.Copy(all, one)
		}
		require.Greater(t, len(all), 3, "users go to many")
	})
}

func TestACallerCallsTheSameSubsetAfterARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var who answered
		ground := Memory()
		start(t, Config{Roles: []Role{serves("a", new(echo))}, Run: map[string]int{"a": 8}, Fabric: ground, Observe: who.observe})
		_, edge := ground.Host("edge")
		_, outside := ground.Host("outside")
		called := func(machine string) []string {
			s := start(t, Config{
				Roles: []Role{asks("www", "a")}, Fabric: ground, Edge: edge, Name: machine,
				Balance: map[string]Balance{"a": {Policy: "round_robin", Subset: 3}},
			})
			synctest.Wait()
			v := visit(t, outside)
			v.request("Ada", 12)
			v.client.CloseIdleConnections()
			_, err := s.end()
			require.NoError(t, err)
			return slices.Sorted(maps.Keys(who.by("a")))
		}
		first := called("one")
		require.Len(t, first, 3)
		require.Equal(t, first, called("one"))
		others := make(map[string]bool)
		for _, machine := range []string{"two", "three", "four", "five"} {
			others[fmt.Sprint(called(machine))] = true
		}
		require.Greater(t, len(others), 1, "other machines call others")
	})
}

func TestTheOwnZoneComesFirstWhereThatIsWanted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ground := Memory()
		start(t, Config{Roles: []Role{serves("a", new(echo))}, Fabric: ground, Zone: "there"})
		_, edge := ground.Host("edge")
		_, outside := ground.Host("outside")
		s := start(t, Config{
			Roles: []Role{asks("www", "a"), serves("a", new(echo))}, First: 2, Fabric: ground, Edge: edge, Admin: ":9090",
			Zone: "here", PreferZone: true,
		})
		<-s.Started()
		synctest.Wait()
		v := visit(t, outside)
		v.request("Ada", 1)
		_, text, _ := v.get("http://edge:9090/debug/balance")
		require.Contains(t, text, "2 of 2 instances can be reached, zone here first\n")
	})
}

func TestWaysToShareThatDoNotExistAreRefused(t *testing.T) {
	roles := []Role{serves("a", new(echo))}
	for text, b := range map[string]map[string]Balance{
		`there is no balancing policy "fastest"`:                         {"a": {Policy: "fastest"}},
		`balance a: a subset of -1 instances is none`:                    {"a": {Subset: -1}},
		`balance every role: a subset of -2 instances is none: want 0`:   {"": {Subset: -2}},
		`balance a: a subset of -3 instances is none: want 0 for all, o`: {"b": {Policy: "random"}, "a": {Subset: -3}},
	} {
		_, err := New(Config{Roles: roles, Run: map[string]int{"a": 1}, Balance: b})
		require.ErrorContains(t, err, text)
		require.True(t, errs.Invalid.Is(err))
	}
}

func TestBalancersEndWithTheirInstance(t *testing.T) {
	for name, fails := range map[string]error{"after its life": nil, "where it could not start": errors.New("no key to sign with")} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) { // the end of the bubble proves it: Prequal's has goroutines
				role := Role{Name: "www", Edge: true, Rules: anybody, New: func(env *Env) (Service, error) {
					require.Same(t, env.Balancer("shop"), env.Balancer("shop"))
					require.NotSame(t, env.Balancer("shop"), env.Balancer("bank"))
					_, err := env.Dial("a")
					return web{http.HandlerFunc(greeting)}, errors.Join(fails, err)
				}}
				s := launch(t, Config{Roles: []Role{role}, Balance: map[string]Balance{"": {Policy: "prequal"}}, WaitNeeds: time.Second})
				time.Sleep(time.Minute)
				_, err := s.end()
				require.ErrorIs(t, err, fails)
				require.Empty(t, s.picks(""), "nothing is told of what has ended")
			})
		})
	}
}

func TestDebugBalanceTellsOfOneRoleOrOfAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, v := operate(t, Config{
			Roles: []Role{asks("www", "a", "b"), serves("a", new(echo)), serves("b", new(echo), "a")}, Run: map[string]int{"www": 1, "a": 2, "b": 1},
			Balance: map[string]Balance{"a": {Policy: "least_request", Subset: 5}},
		})
		<-s.Started()
		synctest.Wait()
		_, text, _ := v.get("http://edge:9090/debug/balance?role=b")
		require.Contains(t, text, "\nNo call was sent yet.\n")
		v.request("Ada", 3)
		time.Sleep(12 * time.Millisecond)

		_, text, _ = v.get("http://edge:9090/debug/balance")
		heads := make([]string, 0, 3)
		for part := range strings.SplitSeq(text, "\n\n") {
			heads = append(heads, strings.SplitN(part, "\n", 2)[0])
		}
		require.Equal(t, []string{
			"www-1 calls a: least_request, 2 of 2 instances can be reached, of a subset of 5",
			"b-1 calls a: least_request, 2 of 2 instances can be reached, of a subset of 5",
			"www-1 calls b: peak_ewma, 1 of 1 instances can be reached",
		}, heads)
		require.Regexp(t, `\nINSTANCE +ADDRESS +ZONE +STATE +WEIGHT +IN FLIGHT +LATENCY +SUCCESS +COST +CALLS +FAILURES\na-1-\w{6} +a-1:50051 +- +\w`, text)
		require.Regexp(t, `\nThe last call went to a-\S+ rather than a-\S+, 12ms ago: .+ \(.+ against .+\)\.\n`, text)
		require.Regexp(t, `\nThe last call went to b-1\S+, 12ms ago: the only one\.\n$`, text)

		_, one, _ := v.get("http://edge:9090/debug/balance?role=b")
		require.Equal(t, text[strings.LastIndex(text, "www-1 calls b"):], one)
		_, none, _ := v.get("http://edge:9090/debug/balance?role=nobody")
		require.Empty(t, none)
	})
}

func TestDebugBalanceSpeaksJSONWhenAsked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, v := operate(t, Config{Roles: []Role{asks("www", "a"), serves("a", new(echo))}, Balance: map[string]Balance{"a": {Subset: 5}}})
		<-s.Started()
		v.request("Ada", 3)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://edge:9090/debug/balance?role=a", http.NoBody)
		require.NoError(t, err)
		req.Header.Set("Accept", "application/json")
		res, err := v.client.Do(req)
		require.NoError(t, err)
		var accepted, formatted []Picks
		require.NoError(t, json.NewDecoder(res.Body).Decode(&accepted))
		require.NoError(t, res.Body.Close())
		require.Equal(t, "application/json", res.Header.Get("Content-Type"))
		_, text, _ := v.get("http://edge:9090/debug/balance?role=a&format=json")
		require.NoError(t, json.Unmarshal([]byte(text), &formatted))
		require.Equal(t, accepted, formatted)
		require.Len(t, accepted, 1)
		require.Equal(t, "www-1", accepted[0].Caller)
		require.Equal(t, 5, accepted[0].Subset)
		require.EqualValues(t, 3, accepted[0].Peers[0].Calls)

		_, text, _ = v.get("http://edge:9090/debug/balance?role=nobody&format=json")
		require.Equal(t, "[]", text)
	})
}

func TestScoresArePrintedInOneUnit(t *testing.T) {
	require.Equal(t, "0.009 ms against 20", scores(9000, 2e7))
	require.Equal(t, "1 against 3.5", scores(1, 3.5))
}
