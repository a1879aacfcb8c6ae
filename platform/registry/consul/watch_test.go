package consul_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/registry/consul"
	"example.com/app/platform/registry/consul/consultest/fake"
	"example.com/app/platform/registry/consul/consultest/state"
)

func TestW1EmptyBlipTakesNobodyAway(t *testing.T) {
	play(t, func(w *world) {
		w.add("a", "b")
		v := w.watch(w.open(consul.Config{}))
		heal := w.agent.Inject(fake.Keep(0))
		w.after(time.Second)
		require.Equal(t, "empty-pending", v.state().State)
		heal()
		w.after(time.Minute)
		v.yielded(ids{"a", "b"})
		require.Equal(t, "fresh", v.state().State)
	})
}

func TestW1DoubtedAnswerIsAskedForAgainFromTheLeader(t *testing.T) {
	play(t, func(w *world) {
		w.add("a")
		w.watch(w.open(consul.Config{}))
		w.tape.forget()
		w.remove("a")
		w.after(time.Second)
		q := w.tape.heard("health/service/shop")[0]
		require.False(t, q.Has("stale") || q.Has("index"), "%v", q)
	})
}

func TestW1FollowerThatSeesNobodyIsOverruledByTheLeader(t *testing.T) {
	play(t, func(w *world) {
		nobody := w.store.Copy()
		w.add("a")
		v := w.watch(w.open(consul.Config{}))
		w.agent.Inject(fake.Frozen{Store: nobody}) // split view: other agents know better
		w.after(time.Minute)
		v.yielded(ids{"a"})
	})
}

func TestW2LastInstanceLeavesAfterTheHold(t *testing.T) {
	play(t, func(w *world) {
		w.add("a")
		v := w.watch(w.open(consul.Config{}))
		w.remove("a")
		w.after(9 * time.Second)
		v.yielded(ids{"a"})
		w.after(2 * time.Second)
		v.yielded(ids{"a"}, ids{})
		require.Equal(t, "empty-confirmed", v.state().State)
		w.add("b")
		w.after(time.Second)
		v.yielded(ids{"a"}, ids{}, ids{"b"})
	})
}

func TestW2NegativeHoldBelievesAtOnce(t *testing.T) {
	play(t, func(w *world) {
		w.add("a")
		v := w.watch(w.open(consul.Config{Hold: -1}))
		w.remove("a")
		w.after(time.Second)
		v.yielded(ids{"a"}, ids{})
	})
}

func TestW2StepToOneOfTwoIsSeenAtOnce(t *testing.T) {
	play(t, func(w *world) {
		w.add("a", "b")
		v := w.watch(w.open(consul.Config{}))
		w.remove("a")
		w.after(time.Second)
		v.yielded(ids{"a", "b"}, ids{"b"})
	})
}

func TestW3FailureKeepsTheListAndIsToldOnce(t *testing.T) {
	for _, bad := range []fake.Fault{
		fake.Status(500), fake.Status(503), fake.Status(http.StatusTooManyRequests), fake.Status(http.StatusForbidden),
		fake.Status(http.StatusFound), fake.Garbage{}, fake.Torn{}, fake.Cut{},
	} {
		t.Run(bad.String(), func(t *testing.T) {
			play(t, func(w *world) {
				reg := prometheus.NewRegistry()
				w.add("a")
				v := w.watch(w.open(consul.Config{Metrics: reg}))
				heal := w.agent.Inject(bad) // in the middle of a question
				w.after(time.Minute)
				v.yielded(ids{"a"})
				require.Len(t, v.failed(), 1)
				require.Equal(t, "stale", v.state().State)
				require.Equal(t, 1, v.state().Instances)
				require.Greater(t, counted(t, reg, "registry_watch_errors_total", "shop"), 5.0)
				require.Equal(t, 60.0, counted(t, reg, "registry_list_age_seconds", "shop"))
				w.add("b")
				heal()
				w.after(12 * time.Second)
				v.yielded(ids{"a"}, ids{"a", "b"})
				require.NoError(t, v.state().Err)
			})
		})
	}
}

func TestW3AgentThatHangsOrIsGoneKeepsTheList(t *testing.T) {
	play(t, func(w *world) {
		w.add("a")
		v := w.watch(w.open(consul.Config{}))
		heal := w.agent.Inject(fake.HalfOpen{})
		w.after(3 * time.Minute)
		require.Len(t, v.failed(), 1)
		require.ErrorContains(t, v.failed()[0], "does not answer in time")
		heal()
		w.after(time.Minute)
		require.Equal(t, "fresh", v.state().State)
		w.stop()
		w.after(time.Minute)
		require.ErrorContains(t, v.failed()[1], "connection refused")
		v.yielded(ids{"a"})
	})
}

func TestW3FirstAnswerThatFailsIsNoEmptyList(t *testing.T) {
	play(t, func(w *world) {
		w.agent.Inject(fake.Status(500))
		v := w.watch(w.open(consul.Config{}))
		w.after(time.Minute)
		require.Empty(t, v.sets)
		require.Equal(t, "unknown", v.state().State)
	})
}

func TestW4IndexThatGoesBackStartsOver(t *testing.T) {
	play(t, func(w *world) {
		w.add("a", "b", "c")
		v := w.watch(w.open(consul.Config{}))
		w.store.Reset(3)
		w.tape.forget()
		w.add("d")
		w.after(time.Second)
		w.add("e")
		w.after(time.Second)
		require.Equal(t, ids{"a", "b", "c", "d", "e"}, v.last())
		require.Empty(t, v.failed())
		require.False(t, w.tape.heard("health/")[0].Has("index"), "it starts over")
		n := len(w.tape.heard("health/"))
		w.after(30 * time.Second)
		require.Len(t, w.tape.heard("health/"), n, "and waits again")
	})
}

func TestW4IndexOfZeroIsTakenForOne(t *testing.T) {
	play(t, func(w *world) {
		w.add("a")
		w.agent.Inject(fake.Index(0))
		w.watch(w.open(consul.Config{}))
		w.after(time.Second)
		require.Equal(t, "1", w.tape.heard("health/")[1].Get("index"))
	})
}

func TestW4EqualContentIsNotYieldedAgain(t *testing.T) {
	play(t, func(w *world) {
		reg := prometheus.NewRegistry()
		w.add("a")
		v := w.watch(w.open(consul.Config{Metrics: reg}))
		w.tape.forget()
		for range 5 {
			w.tell("PUT agent/check/warn/a")
			w.tell("PUT agent/check/pass/a")
			w.after(time.Second)
		}
		v.yielded(ids{"a"})
		require.GreaterOrEqual(t, len(w.tape.heard("health/")), 5)
		require.Equal(t, 1.0, counted(t, reg, "registry_updates_total", "shop"))
	})
}

func TestW4ErrorsBackOffAndForgetTheIndex(t *testing.T) {
	play(t, func(w *world) {
		w.add("a")
		v := w.watch(w.open(consul.Config{}))
		w.tape.forget()
		heal := w.agent.Inject(fake.Status(500))
		w.after(10 * time.Minute)
		asked := w.tape.heard("health/")
		require.Less(t, len(asked), 200, "bounded by 10 s at most, half of it on average")
		require.Greater(t, len(asked), 60)
		require.False(t, asked[2].Has("index"), "after two failures at the latest")
		heal()
		w.after(10 * time.Second)
		w.tape.forget()
		w.agent.Inject(fake.Status(500))
		w.after(time.Second)
		require.GreaterOrEqual(t, len(w.tape.heard("health/")), 3, "success has reset the pause")
		require.Len(t, v.failed(), 2)
	})
}

func TestW4ServersThatStartAgainWithNothingAreFollowed(t *testing.T) {
	play(t, func(w *world) {
		w.add("a", "b", "c")
		v := w.watch(w.open(consul.Config{}))
		w.stop()
		w.after(5 * time.Second)
		w.store = state.New("dc1")
		w.agent, w.others = fake.New("here", w.store), fake.New("elsewhere", w.store)
		w.tape.Handler = w.agent
		w.add("a", "d")
		w.start()
		w.after(11 * time.Second)
		v.yielded(ids{"a", "b", "c"}, ids{"a", "d"})
	})
}

func TestW4FlappingConsulIsNoHotLoop(t *testing.T) {
	play(t, func(w *world) {
		w.add("a")
		v := w.watch(w.open(consul.Config{}))
		w.tape.forget()
		for range 60 {
			heal := w.agent.Inject(fake.Cut{})
			w.after(500 * time.Millisecond)
			heal()
			w.after(500 * time.Millisecond)
		}
		v.yielded(ids{"a"})
		require.LessOrEqual(t, len(w.tape.heard("health/")), 60*6)
	})
}

func TestW4LeavingIsImmediate(t *testing.T) {
	for _, f := range []fake.Fault{fake.Keep(9), fake.HalfOpen{}, fake.Status(500)} {
		play(t, func(w *world) {
			w.add("a")
			v := w.watch(w.open(consul.Config{}))
			w.agent.Inject(f)
			w.after(time.Minute)
			begun := time.Now()
			v.cancel()
			require.Zero(t, time.Since(begun), f)
		})
	}
}

func TestW5OutageOf30SecondsIsOverWithin10(t *testing.T) {
	play(t, func(w *world) {
		w.add("a")
		v := w.watch(w.open(consul.Config{}))
		w.stop()
		w.after(30 * time.Second)
		w.add("b")
		w.start()
		w.after(10 * time.Second)
		v.yielded(ids{"a"}, ids{"a", "b"})
	})
}

func TestW6IdleRoleHasNoErrorAndFewQuestions(t *testing.T) {
	play(t, func(w *world) {
		w.add("a")
		v := w.watch(w.open(consul.Config{}))
		w.agent.Inject(fake.Slow(9 * time.Second)) // on top of the wait and Consul's jitter
		w.tape.forget()
		w.after(10*time.Minute + time.Second)
		require.Empty(t, v.failed())
		require.LessOrEqual(t, len(w.tape.heard("health/")), 14, "a question a minute")
	})
}

func TestW6WatchesOfARoleShareAQuestion(t *testing.T) {
	play(t, func(w *world) {
		w.add("a")
		r := w.open(consul.Config{})
		first := w.watch(r)
		w.tape.forget()
		second := w.watch(r)
		require.Empty(t, w.tape.heard(""))
		second.yielded(ids{"a"})
		first.cancel()
		require.Len(t, r.Status(), 1)
		second.cancel()
		require.Empty(t, r.Status(), "nobody watches, nobody asks")
	})
}

func TestW7LeaderLossBlindsNobody(t *testing.T) {
	play(t, func(w *world) {
		w.add("a")
		w.agent.Inject(fake.NoLeader{})
		v := w.watch(w.open(consul.Config{}))
		w.after(10 * time.Minute)
		v.yielded(ids{"a"})
		require.Empty(t, v.failed())
	})
}

func TestW7LaggingFollowerIsNotBelieved(t *testing.T) {
	play(t, func(w *world) {
		w.add("a")
		w.agent.Inject(fake.Frozen{Store: w.store.Copy()})
		w.agent.Inject(fake.Lag(20 * time.Second))
		w.add("b")
		v := w.watch(w.open(consul.Config{}))
		v.yielded(ids{"a", "b"})
		w.agent.Inject(fake.NoLeader{})
		other := w.watch(w.open(consul.Config{}))
		other.yielded(ids{"a"}) // better than nothing
		require.Len(t, other.failed(), 1)
	})
}

func TestW7ChangeThatWasLostIsFoundWithinFiveMinutes(t *testing.T) {
	play(t, func(w *world) {
		w.add("a")
		v := w.watch(w.open(consul.Config{}))
		_, index := w.store.Health("shop")
		w.agent.Inject(fake.Index(index)) // as if nothing ever happened
		w.tape.forget()
		w.after(11 * time.Minute)
		fresh := 0
		for _, q := range w.tape.heard("health/") {
			if !q.Has("index") {
				fresh++
			}
		}
		require.Equal(t, 2, fresh)
		v.yielded(ids{"a"})
	})
}

func TestW7HalfOpenConnectionIsGivenUp(t *testing.T) {
	play(t, func(w *world) {
		w.add("a")
		v := w.watch(w.open(consul.Config{}))
		heal := w.agent.Inject(fake.HalfOpen{})
		w.add("b")
		w.after(74*time.Second + 250*time.Millisecond) // wait, a sixteenth, slack
		require.Len(t, v.failed(), 1)
		heal()
		w.after(10 * time.Second)
		v.yielded(ids{"a"}, ids{"a", "b"})
	})
}

func TestW8OnlyPassingInstancesAreYielded(t *testing.T) {
	play(t, func(w *world) {
		w.add("a", "b")
		v := w.watch(w.open(consul.Config{}))
		w.tell("PUT agent/check/fail/a")
		w.after(time.Second)
		w.tell("PUT agent/check/pass/a")
		w.after(time.Second)
		w.tell("PUT agent/check/warn/b")
		w.after(time.Second)
		v.yielded(ids{"a", "b"}, ids{"b"}, ids{"a", "b"}, ids{"a"})
		for _, q := range w.tape.heard("health/") {
			require.Equal(t, "1", q.Get("passing"), "the server filters")
		}
	})
}

func TestW8AllCriticalIsConfirmedEmpty(t *testing.T) {
	play(t, func(w *world) {
		w.add("a")
		v := w.watch(w.open(consul.Config{}))
		w.tell("PUT agent/check/fail/a")
		w.after(time.Minute)
		v.yielded(ids{"a"}, ids{})
		require.Equal(t, "empty-confirmed", v.state().State)
	})
}

func TestW8PanicYieldsThoseThatDoNotPassAndCounts(t *testing.T) {
	play(t, func(w *world) {
		reg := prometheus.NewRegistry()
		w.add("a", "b", "out")
		v := w.watch(w.open(consul.Config{Panic: true, Metrics: reg}))
		w.tell("PUT agent/service/maintenance/out?enable=true")
		w.tell("PUT agent/check/fail/a")
		w.after(time.Second)
		require.Equal(t, ids{"b"}, v.last())
		require.Equal(t, "fresh", v.state().State)
		w.tell("PUT agent/check/fail/b")
		w.after(time.Second)
		require.Equal(t, ids{"a", "b"}, v.last(), "not what an operator took out")
		require.Equal(t, "panic", v.state().State)
		w.after(10 * time.Minute)
		require.Equal(t, 1.0, counted(t, reg, "registry_panics_total", "shop"))
		w.tell("PUT agent/check/pass/a")
		w.after(time.Second)
		require.Equal(t, ids{"a"}, v.last())
		require.Equal(t, "fresh", v.state().State)
		w.tell("PUT agent/check/fail/a")
		w.after(time.Second)
		require.Equal(t, 2.0, counted(t, reg, "registry_panics_total", "shop"), "another one")
		w.remove("a", "b", "out")
		w.after(time.Minute)
		require.Equal(t, ids{}, v.last(), "where there is nobody there is nobody to panic with")
	})
}
