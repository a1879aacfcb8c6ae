package consul_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/registry/consul"
)

type ids = []string

func TestW1EmptyBlipTakesNobodyAway(t *testing.T) {
	play(t, consul.Config{}, reply{index: 5, ids: ids{"a", "b"}}, func(s *scene) {
		s.stub.say(reply{index: 6})
		s.after(time.Second)
		require.Equal(t, "empty-pending", s.Status()[0].State)
		s.stub.say(reply{index: 7, ids: ids{"a", "b"}})
		s.after(time.Minute)
		s.yielded(ids{"a", "b"})
		require.Equal(t, "fresh", s.Status()[0].State)
	})
}

func TestW1DoubtedAnswerIsAskedForAgainFromTheLeader(t *testing.T) {
	play(t, consul.Config{}, reply{index: 5, ids: ids{"a"}}, func(s *scene) {
		before := s.stub.heard()
		s.stub.say(reply{index: 6})
		s.after(time.Second)
		q := s.stub.questions[before]
		require.False(t, q.Has("stale") || q.Has("index"), "%v", q)
	})
}

func TestW2LastInstanceLeavesAfterTheHold(t *testing.T) {
	play(t, consul.Config{}, reply{index: 5, ids: ids{"a"}}, func(s *scene) {
		s.stub.say(reply{index: 6})
		s.after(9 * time.Second)
		s.yielded(ids{"a"})
		s.after(3 * time.Second)
		s.yielded(ids{"a"}, ids{})
		require.Equal(t, "empty-confirmed", s.Status()[0].State)
	})
}

func TestW2NegativeHoldBelievesAtOnce(t *testing.T) {
	play(t, consul.Config{Hold: -1}, reply{index: 5, ids: ids{"a"}}, func(s *scene) {
		s.stub.say(reply{index: 6})
		s.after(time.Second)
		s.yielded(ids{"a"}, ids{})
	})
}

func TestW3FailureKeepsTheListAndIsToldOnce(t *testing.T) {
	for name, bad := range map[string]reply{
		"500":     {code: 500, body: "no leader"},
		"429":     {code: 429, body: "slow down"},
		"garbage": {body: "<html>"},
		"moved":   {code: 302, header: http.Header{"Location": {"http://elsewhere/"}}, body: "go away"},
		"hidden":  {header: http.Header{"X-Consul-Results-Filtered-By-Acls": {"true"}}},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, consul.Config{}, reply{index: 5, ids: ids{"a"}}, func(s *scene) {
				s.stub.say(bad)
				s.after(time.Minute)
				s.yielded(ids{"a"})
				require.Len(t, s.failed(), 1)
				require.Equal(t, "stale", s.Status()[0].State)
				require.Equal(t, 1, s.Status()[0].Instances)
				s.stub.say(reply{index: 6, ids: ids{"a", "b"}})
				s.after(12 * time.Second)
				s.yielded(ids{"a"}, ids{"a", "b"})
			})
		})
	}
}

func TestW4IndexThatGoesBackStartsOver(t *testing.T) {
	play(t, consul.Config{}, reply{index: 50, ids: ids{"a"}}, func(s *scene) {
		s.stub.say(reply{index: 3, ids: ids{"a", "b"}})
		s.after(time.Second)
		s.stub.say(reply{index: 4, ids: ids{"a", "b", "c"}})
		s.after(time.Second)
		s.yielded(ids{"a"}, ids{"a", "b"}, ids{"a", "b", "c"})
		n := s.stub.heard()
		require.False(t, s.stub.questions[2].Has("index"))
		s.after(30 * time.Second)
		require.Equal(t, n, s.stub.heard(), "it waits again")
	})
}

func TestW4IndexOfZeroIsNoHotLoop(t *testing.T) {
	play(t, consul.Config{}, reply{index: 0, ids: ids{"a"}}, func(s *scene) {
		s.after(time.Second)
		require.Equal(t, "1", s.stub.questions[1].Get("index"))
	})
}

func TestCO3ServerThatNeverWaitsIsNotAskedHot(t *testing.T) {
	play(t, consul.Config{}, reply{index: 0, ids: ids{"a"}, hot: true}, func(s *scene) {
		s.after(time.Minute)
		require.LessOrEqual(t, s.stub.heard(), 60*4+3)
		s.yielded(ids{"a"})
	})
}

func TestW4EqualContentIsNotYieldedAgain(t *testing.T) {
	reg := prometheus.NewRegistry()
	play(t, consul.Config{Metrics: reg}, reply{index: 5, ids: ids{"a"}}, func(s *scene) {
		for i := range uint64(5) {
			s.stub.say(reply{index: 6 + i, ids: ids{"a"}})
			s.after(time.Second)
		}
		s.yielded(ids{"a"})
		require.GreaterOrEqual(t, s.stub.heard(), 6)
		families, err := reg.Gather()
		require.NoError(t, err)
		updates := families[len(families)-1]
		require.Equal(t, "registry_updates_total", updates.GetName())
		require.Equal(t, 1.0, updates.Metric[0].Counter.GetValue())
	})
}

func TestW4ErrorsBackOffAndForgetTheIndex(t *testing.T) {
	play(t, consul.Config{}, reply{index: 5, ids: ids{"a"}}, func(s *scene) {
		s.stub.say(reply{code: 500, body: "x"})
		s.after(10 * time.Minute)
		require.Less(t, s.stub.heard(), 200, "bounded by 10 s at most, half of it on average")
		require.Greater(t, s.stub.heard(), 60)
		require.False(t, s.stub.questions[3].Has("index"))
	})
}

func TestW6IdleRoleLogsNoError(t *testing.T) {
	play(t, consul.Config{}, reply{index: 5, ids: ids{"a"}}, func(s *scene) {
		s.after(10*time.Minute + time.Second)
		require.Empty(t, s.failed())
		require.LessOrEqual(t, s.stub.heard(), 14, "a question a minute")
		fresh := 0
		for _, q := range s.stub.questions[1:] {
			if !q.Has("index") {
				fresh++
			}
		}
		require.Equal(t, 2, fresh, "W7: the whole list every five minutes")
	})
}

func TestW7LaggingFollowerIsNotBelieved(t *testing.T) {
	lag := http.Header{"X-Consul-Lastcontact": {"20000"}}
	play(t, consul.Config{}, reply{index: 5, ids: ids{"a"}, header: lag}, func(s *scene) {
		s.after(time.Second)
		require.True(t, s.stub.questions[0].Has("stale"))
		require.False(t, s.stub.questions[1].Has("stale"))
		s.yielded(ids{"a"})
	})
}

func TestCO9RefusalIsToldOnceAndNotRetriedHot(t *testing.T) {
	play(t, consul.Config{}, reply{code: 403, body: "Permission denied"}, func(s *scene) {
		s.after(time.Minute)
		require.Len(t, s.failed(), 1)
		require.True(t, errs.Denied.Is(s.failed()[0]))
		require.Empty(t, s.sets, "a refusal is no empty list")
		require.Less(t, s.stub.heard(), 30)
	})
}

func TestCO8TokenTravelsInTheHeaderOnly(t *testing.T) {
	play(t, consul.Config{}, reply{code: 403, body: "x"}, func(s *scene) {
		require.Equal(t, "secret", s.stub.tokens[0])
		require.NotContains(t, s.stub.questions[0].Encode(), "secret")
		require.NotContains(t, s.failed()[0].Error(), "secret")
	})
}

func TestWatchesOfARoleShareAQuery(t *testing.T) {
	play(t, consul.Config{}, reply{index: 5, ids: ids{"a"}}, func(s *scene) {
		before := s.stub.heard()
		first := s.cancel
		s.watch()
		require.Equal(t, before, s.stub.heard())
		s.yielded(ids{"a"}, ids{"a"})
		first()
		require.Len(t, s.Status(), 1)
		s.cancel()
		require.Empty(t, s.Status(), "nobody watches, nobody asks")
	})
}
