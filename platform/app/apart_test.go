package app

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/network"
)

// Rule G7: nodes, and replicas within one, share nothing.

func TestG7TwoNodesInOneProcessShareNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		roles := []Role{serves("www", web{http.HandlerFunc(greeting)}), serves("a", new(echo))}
		ground := network.NewMemory()
		v := visit(t, ground.Host("outside"))
		fabrics := []Fabric{Memory(), Memory()}
		for i, f := range fabrics { // the same names and ports, twice
			start(t, Config{
				Roles: roles, Run: map[string]int{"www": 1, "a": 3}, Fabric: f,
				Edge: ground.Host([]string{"one", "two"}[i]), Admin: ":9090",
			})
		}
		require.NoError(t, call(outside(t, fabrics[0], "a")))
		for host, want := range map[string]int{"one": 1, "two": 0} {
			code, text, _ := v.get("http://" + host + ":9090/metrics")
			require.Equal(t, http.StatusOK, code)
			require.Equal(t, want, strings.Count(text, `grpc_server_handled_total{grpc_code="OK",grpc_method="EmptyCall"`), host)
		}
		require.Len(t, listed(fabrics[0], "a"), 3)
	})
}

func TestG7ReplicasInOneProcessAreBuiltOneByOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var envs []*Env
		role := Role{Name: "a", Edge: true, Rules: anybody, New: func(env *Env) (Service, error) { envs = append(envs, env); return new(echo), nil }}
		served := new(journal)
		f := Memory()
		s := start(t, Config{
			Roles: []Role{role}, Run: map[string]int{"a": 3}, First: 5, Fabric: f, Zone: "z1", Version: "v1", Name: "box",
			Observe: func(c Call) { served.note("%s", c.Host) },
		})
		require.Len(t, envs, 3)
		for i, env := range envs {
			require.Regexp(t, `^a-[567]-box-[0-9a-f]{6}$`, env.Instance)
			require.Equal(t, []string{"a", "z1", "v1"}, []string{env.Role, env.Zone, env.Version})
			conn, err := env.Dial("a")
			require.NoError(t, err)
			again, err := env.Dial("a")
			require.NoError(t, err)
			require.Same(t, conn, again, "one client of a role")
			other, err := envs[(i+1)%3].Dial("a")
			require.NoError(t, err)
			require.NotSame(t, conn, other, "and one for each instance")
		}
		c := outside(t, f, "a")
		require.NoError(t, call(c))
		synctest.Wait() // all three have been reached
		for range 30 {
			require.NoError(t, call(c))
		}
		for _, host := range []string{"a-5", "a-6", "a-7"} {
			require.GreaterOrEqual(t, strings.Count(served.text(), host), 10, "%s in %s", host, served.text())
		}
		_, err := s.end()
		require.NoError(t, err)
	})
}
