package balance_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/policy"
	"example.com/app/platform/registry"
)

// A world is a balancer, in virtual time, and who it can reach.
type world struct {
	*balance.Balancer
	t *testing.T
}

// in runs a story about a balancer in virtual time.
func in(t *testing.T, c balance.Config, story func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c.Seed = 1
		if c.Policy == nil {
			c.Policy = new(policy.RoundRobin)
		}
		b := balance.New(c)
		defer b.Close()
		story(t, &world{b, t})
	})
}

// up makes the instances of the given names reachable, and no others. A name
// may say the zone: "a@east".
func (w *world) up(names ...string) { w.Update(endpoints(names...), len(names)) }

func endpoints(names ...string) []balance.Endpoint {
	set := make([]balance.Endpoint, len(names))
	for i, name := range names {
		id, zone, _ := strings.Cut(name, "@")
		set[i].Instance = registry.Instance{ID: id, Addr: id + ":1", Zone: zone}
	}
	return set
}

// call picks, waits, and says how it ended. It returns who was picked.
func (w *world) call(took time.Duration, outcome func(id string) balance.Outcome) string {
	f, ok := w.Pick(balance.Call{})
	require.True(w.t, ok)
	time.Sleep(took)
	f.Done(outcome(f.Peer.ID()))
	return f.Peer.ID()
}

// calls makes n calls one after the other, and counts who got them.
func (w *world) calls(n int, outcome func(id string) balance.Outcome) map[string]int {
	count := make(map[string]int)
	for range n {
		count[w.call(time.Millisecond, outcome)]++
	}
	return count
}

// state is how the balancer sees an instance.
func (w *world) row(id string) balance.Row {
	rows := w.Explain().Peers
	i := slices.IndexFunc(rows, func(r balance.Row) bool { return r.ID == id })
	require.GreaterOrEqual(w.t, i, 0, "%s is not known", id)
	return rows[i]
}

func fine(string) balance.Outcome { return balance.OK }

// failing is an outcome for the instances of the given names, and OK for others.
func failing(o balance.Outcome, names ...string) func(string) balance.Outcome {
	return func(id string) balance.Outcome {
		if slices.Contains(names, id) {
			return o
		}
		return balance.OK
	}
}

func names(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("i%02d", i)
	}
	return out
}
