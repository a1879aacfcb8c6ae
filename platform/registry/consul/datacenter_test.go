package consul_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/registry/consul"
	"example.com/app/platform/registry/consul/consultest/fake"
	"example.com/app/platform/registry/consul/consultest/state"
)

// abroad gives the world a second datacentre, and returns what registers
// instances there.
func (w *world) abroad() (*state.Store, func(id string)) {
	west := state.New("dc2")
	w.agent = fake.New("here", w.store, west)
	w.tape.Handler = w.agent
	there := fake.New("there", west)
	return west, func(id string) {
		body := `{"ID":"` + id + `","Name":"shop","Address":"10.2.0.1","Port":80}`
		there.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(w.Context(), "PUT", "/v1/agent/service/register", strings.NewReader(body)))
		synctest.Wait()
	}
}

func TestW9EachDatacentreHasItsOwnIndex(t *testing.T) {
	play(t, func(w *world) {
		west, add := w.abroad()
		for range 50 { // one counts far ahead of the other
			w.add("a")
			w.remove("a")
		}
		w.add("a")
		add("b")
		v := w.watch(w.open(consul.Config{Datacenters: []string{"", "dc2"}}))
		v.yielded(ids{"a", "b"}) // at once, and whole
		add("c")
		w.after(time.Second)
		w.add("d")
		w.after(time.Second)
		v.yielded(ids{"a", "b"}, ids{"a", "b", "c"}, ids{"a", "b", "c", "d"})
		w.tape.forget()
		add("e")
		w.after(time.Second)
		w.add("f")
		w.after(30 * time.Second)
		require.Equal(t, ids{"a", "b", "c", "d", "e", "f"}, v.last())
		require.Len(t, w.tape.heard("health/"), 2, "a question for a change, each where it was")
		_, east := w.store.Health("shop")
		_, farther := west.Health("shop")
		require.Greater(t, east, farther+50)
		for _, q := range w.tape.heard("health/service/shop") {
			switch q.Get("dc") {
			case "":
				require.True(t, !q.Has("index") || len(q.Get("index")) == 3, "%v", q)
			case "dc2":
				require.True(t, !q.Has("index") || len(q.Get("index")) == 2, "%v", q)
			}
		}
	})
}

func TestW9DatacentreThatIsAwayKeepsTheOthersNeitherBackNorEmpty(t *testing.T) {
	play(t, func(w *world) {
		_, add := w.abroad()
		w.add("a")
		add("b")
		r := w.open(consul.Config{Datacenters: []string{"dc1", "dc2", "dc3"}})
		v := w.watch(r)
		v.yielded(ids{"a", "b"})
		require.Len(t, v.failed(), 1)
		require.ErrorContains(t, v.failed()[0], "watch shop in dc3")
		require.ErrorContains(t, v.failed()[0], "No path to datacenter")
		require.Equal(t, "stale", v.state().State)
		w.add("c")
		w.after(time.Second)
		v.yielded(ids{"a", "b"}, ids{"a", "b", "c"})
	})
}

func TestW9SameIDInTwoDatacentresIsTwoInstances(t *testing.T) {
	play(t, func(w *world) {
		_, add := w.abroad()
		w.add("a")
		add("a")
		v := w.watch(w.open(consul.Config{Datacenters: []string{"dc1", "dc2"}}))
		v.yielded(ids{"dc1/a", "dc2/a"})
	})
}

func TestW9DatacentreWithoutInstancesIsConfirmedOnItsOwn(t *testing.T) {
	play(t, func(w *world) {
		west, add := w.abroad()
		w.add("a")
		add("b")
		v := w.watch(w.open(consul.Config{Datacenters: []string{"dc1", "dc2"}}))
		west.Sync("there", nil, nil)
		w.after(9 * time.Second)
		v.yielded(ids{"a", "b"})
		require.Equal(t, "empty-pending", v.state().State)
		w.after(2 * time.Second)
		v.yielded(ids{"a", "b"}, ids{"a"})
	})
}
