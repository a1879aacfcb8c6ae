package load_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"example.com/app/platform/app"
	"example.com/app/platform/command"
	"example.com/app/sim/load"
	"example.com/app/sim/simtest"
)

// A heard request is one that Load told of.
type heard struct {
	request  string
	begin    time.Duration // since the load began
	took     time.Duration
	answered bool
}

// run sends a load and returns every request, and how long all of it took.
func run(ctx context.Context, l load.Load, u *load.User) ([]heard, time.Duration) {
	var mu sync.Mutex
	var all []heard
	begin := time.Now()
	l.Run(ctx, u, func(d load.Done) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, heard{d.Call, d.Began, d.Took, d.Err == nil})
	})
	return all, time.Since(begin)
}

func TestLoadKeepsItsRate(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		f, ground := simtest.Fleet(t, app.Config{})
		simtest.Start(t, f, "greeter-1", "gateway-1")
		u := simtest.User(t, ground)
		_, err := u.Get(t.Context(), "/warm")
		require.NoError(t, err)
		all, took := run(t.Context(), load.Load{Calls: load.Requests("GET /a", "GET /b", "GET /c"), Arrivals: load.Steady(30), Duration: 10 * time.Second}, u)
		require.Len(t, all, 300)
		require.Less(t, took, 10*time.Second)
		turns := make(map[string]int)
		due := make(map[time.Duration]bool)
		for i, h := range all {
			require.True(t, h.answered, "request %d", i)
			turns[h.request]++
			due[h.begin] = true
		}
		require.Equal(t, map[string]int{"GET /a": 100, "GET /b": 100, "GET /c": 100}, turns)
		for i := range 300 {
			require.True(t, due[time.Duration(float64(i)/30*float64(time.Second))], "request %d was not sent when it was due", i)
		}
	})
}

func TestLoadDoesNotWaitForSlowAnswers(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		work, err := command.ParseWork(simtest.System(), []string{"greeter=5s"})
		require.NoError(t, err)
		f, ground := simtest.Fleet(t, app.Config{Work: work})
		simtest.Start(t, f, "greeter-1", "gateway-1")
		all, took := run(t.Context(), load.Load{Calls: load.Requests("GET /a"), Arrivals: load.Steady(10), Duration: time.Second}, simtest.User(t, ground))
		require.Len(t, all, 10)
		for _, h := range all {
			require.Less(t, h.begin, time.Second, "it was sent when it was due")
			require.Equal(t, 5*time.Second, h.took)
		}
		require.Equal(t, 5900*time.Millisecond, took, "the last answer is waited for")
	})
}

func TestLoadEndsWithItsContext(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, took := run(ctx, load.Load{Calls: load.Requests("GET /a"), Arrivals: load.Steady(10), Duration: time.Hour}, simtest.User(t, app.Memory()))
		require.Equal(t, time.Second, took)
	})
}

func TestLoadOfRolesIsWhatTheySay(t *testing.T) {
	all := load.Of(simtest.System())
	require.Len(t, all, 2)
	require.Equal(t, "GET /a", all[0].Name)
	require.Equal(t, "GET /b", all[1].Name)
}

func TestUserAsksTheGatewaysInTurn(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		f, ground := simtest.Fleet(t, app.Config{})
		simtest.Start(t, f, "greeter-1", "gateway-1", "gateway-2", "gateway-3")
		u := simtest.User(t, ground)
		synctest.Wait()
		asked := make(map[string]int)
		for range 30 {
			who, err := u.Get(t.Context(), "/a")
			require.NoError(t, err)
			asked[who[:len("gateway-1")]]++
		}
		require.Equal(t, map[string]int{"gateway-1": 10, "gateway-2": 10, "gateway-3": 10}, asked)
	})
}

func TestUserWaitsForTheFirstGateway(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		f, ground := simtest.Fleet(t, app.Config{})
		u := simtest.User(t, ground)
		answer := make(chan error, 1)
		go func() { _, err := u.Get(context.Background(), "/a"); answer <- err }()
		time.Sleep(5 * time.Second)
		require.Empty(t, answer)
		simtest.Start(t, f, "greeter-1", "gateway-1")
		require.NoError(t, <-answer)
	})
}

func TestUserGivesUpWhenThereIsNoGateway(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := simtest.User(t, app.Memory()).Get(ctx, "/a")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "find a gateway: ")
	})
}

func TestUserTellsOfAnswersThatAreNoSuccess(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		f, ground := simtest.Fleet(t, app.Config{WaitNeeds: time.Second})
		simtest.Start(t, f, "gateway-1")
		_, err := simtest.User(t, ground).Get(t.Context(), "/a")
		var status *load.StatusError
		require.ErrorAs(t, err, &status)
		require.Equal(t, 503, status.Status)
		require.EqualError(t, err, "GET /a: 503 greeter has no instance in the registry (ROLE_UNAVAILABLE)")
		require.Contains(t, status.Body, "greeter has no instance in the registry")
	})
}

func TestUserSendsBodiesAsJSON(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		mirror := app.Role{Name: "gateway", Edge: true, New: func(*app.Env) (app.Service, error) { return page{}, nil }}
		f, ground := simtest.Fleet(t, app.Config{Roles: []app.Role{mirror}})
		simtest.Start(t, f, "gateway-1")
		u := simtest.User(t, ground)
		text, err := u.Do(t.Context(), http.MethodPost, "/x", `{"name":"Ada"}`)
		require.NoError(t, err)
		require.Equal(t, "POST /x application/json 14", text)
		text, err = u.Do(t.Context(), http.MethodDelete, "/y", "")
		require.NoError(t, err)
		require.Equal(t, "DELETE /y  0", text)
		_, err = u.Do(t.Context(), "NO METHOD", "/y", "")
		require.False(t, errors.As(err, new(*load.StatusError)))
		require.Error(t, err)
	})
}

// page is a gateway that tells what it was asked.
type page struct{}

// Register adds nothing.
func (page) Register(grpc.ServiceRegistrar) {}

func (page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s %s %d", r.Method, r.URL.Path, r.Header.Get("Content-Type"), r.ContentLength)
}

func TestSessionsThinkBetweenCallsAndEndWithTheFirstThatFails(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		var did []string
		step := func(name string, err error) load.Call {
			return load.Call{Name: name, Do: func(ctx context.Context, _ *load.User) error {
				did = append(did, name+" "+load.ID(ctx))
				return err
			}}
		}
		s := load.Session("shop", 3*time.Second, step("look", nil), step("buy", errors.New("sold out")), step("pay", nil))
		begin := time.Now()
		require.EqualError(t, s.Do(load.With(t.Context(), "r7"), nil), "buy: sold out")
		require.Equal(t, []string{"look r7", "buy r7"}, did)
		require.Equal(t, 3*time.Second, time.Since(begin))
	})
}

func TestCallsAreChosenByWeight(t *testing.T) {
	simtest.Bubble(t, func(t *testing.T) {
		count := func(seed uint64) map[string]int {
			var mu sync.Mutex
			n := map[string]int{}
			l := load.Load{Seed: seed, Arrivals: load.Steady(1000), Duration: 10 * time.Second, Calls: []load.Call{
				{Name: "often", Weight: 9}, {Name: "seldom", Weight: 1}, {Name: "never"},
			}}
			l.Each(t.Context(), func(_ int, c load.Call) { mu.Lock(); defer mu.Unlock(); n[c.Name]++ })
			return n
		}
		one := count(1)
		require.InDelta(t, 9000, one["often"], 150)
		require.InDelta(t, 1000, one["seldom"], 150)
		require.Zero(t, one["never"])
		require.Equal(t, one, count(1))
		require.NotEqual(t, one, count(2))
	})
}
