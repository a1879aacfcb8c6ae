// Package convergence measures how soon a change in a real Consul is known,
// side by side with what others do. It is a module of its own, so that its
// peers never move the versions of the system:
//
//	go test -C integration/convergence -v -count=1
package convergence

import (
	"context"
	"fmt"
	"io"
	stdlog "log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-kit/kit/sd"
	kitconsul "github.com/go-kit/kit/sd/consul"
	"github.com/go-kit/log"
	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/registry/consul"
	"example.com/app/platform/registry/consul/consultest"
)

const (
	services = 60              // repetitions, each a service of its own
	atOnce   = 30              // an agent holds 200 connections of one address, and each watcher wants one
	poll     = 5 * time.Second // how often the poller asks
)

// A watcher tells the number of instances of a service whenever it may have
// changed, until ctx ends.
type watcher struct {
	name  string
	watch func(ctx context.Context, service string, tell func(n int))
}

// news is when each number of instances was first told after it was asked for.
type news struct {
	mu   sync.Mutex
	n    int
	wake chan struct{}
}

func (s *news) tell(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n != n {
		s.n = n
		close(s.wake)
		s.wake = make(chan struct{})
	}
}

// await returns when the number is n, or says that it never was.
func (s *news) await(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		now, wake := s.n, s.wake
		s.mu.Unlock()
		if now == n {
			return nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return fmt.Errorf("%d instances, want %d: %w", now, n, ctx.Err())
		}
	}
}

func TestConvergenceSideBySide(t *testing.T) {
	agent := consultest.Agent(t)
	watchers := []watcher{ours(t, agent), gokit(agent), poller(agent)}
	appeared, left := make([]sample, len(watchers)), make([]sample, len(watchers))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	client := agent.Client().Agent()
	var all sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for i := range services {
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			service := fmt.Sprintf("service-%02d", i)
			lists := make([]*news, len(watchers))
			watching, stop := context.WithCancel(ctx)
			var watches sync.WaitGroup
			defer watches.Wait()
			defer stop()
			for w := range watchers {
				lists[w] = &news{wake: make(chan struct{})}
				watches.Go(func() { watchers[w].watch(watching, service, lists[w].tell) })
			}
			pause(ctx, 2*time.Second+rand.N(poll)) // all watch by then, and the pollers are out of step
			at := time.Now()
			require.NoError(t, client.ServiceRegister(&api.AgentServiceRegistration{Name: service, ID: service, Port: 1, Address: "127.0.0.1"}))
			measure(ctx, t, watchers, lists, 1, at, appeared)
			pause(ctx, rand.N(poll))
			at = time.Now()
			require.NoError(t, client.ServiceDeregister(service))
			measure(ctx, t, watchers, lists, 0, at, left)
		})
	}
	all.Wait()
	t.Logf("%-28s %10s %10s %10s %10s", fmt.Sprintf("%d services, each once", services), "in p50", "in p99", "out p50", "out p99")
	for w := range watchers {
		t.Logf("%-28s %10s %10s %10s %10s", watchers[w].name, appeared[w].at(0.5), appeared[w].at(0.99), left[w].at(0.5), left[w].at(0.99))
	}
}

// measure waits until every watcher has heard, and notes how long each took. A
// watcher that never hears within 20 s is noted as never.
func measure(ctx context.Context, t *testing.T, watchers []watcher, lists []*news, n int, since time.Time, into []sample) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for w := range watchers {
		all.Go(func() {
			if err := lists[w].await(ctx, n); err != nil {
				into[w].add(never)
				t.Logf("%s: %v", watchers[w].name, err)
				return
			}
			into[w].add(time.Since(since))
		})
	}
	all.Wait()
}

const never = time.Hour

// A sample is durations, to ask for quantiles of.
type sample struct {
	mu    sync.Mutex
	times []time.Duration
}

func (s *sample) add(d time.Duration) { s.mu.Lock(); defer s.mu.Unlock(); s.times = append(s.times, d) }

func (s *sample) at(q float64) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.times)
	d := s.times[min(len(s.times)-1, int(q*float64(len(s.times))))]
	if d == never {
		return "never"
	}
	return d.Round(100 * time.Microsecond).String()
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// ours is the registry of this house, with the hold of empty answers off and
// on: with it a last instance is doubted for a while on purpose.
func ours(t *testing.T, agent *consultest.Server) watcher {
	reg, err := consul.New(consul.Config{API: agent.API(), Hold: -1})
	require.NoError(t, err)
	return watcher{"platform/registry/consul", func(ctx context.Context, service string, tell func(int)) {
		for set, err := range reg.Watch(ctx, service) {
			if err == nil {
				tell(len(set))
			}
		}
	}}
}

// gokit is the Consul client of go-kit.
func gokit(agent *consultest.Server) watcher {
	client := kitconsul.NewClient(agent.Client())
	return watcher{"go-kit v0.13.0 sd/consul", func(ctx context.Context, service string, tell func(int)) {
		instancer := kitconsul.NewInstancer(client, log.NewNopLogger(), service, nil, true)
		defer instancer.Stop()
		events := make(chan sd.Event, 10)
		instancer.Register(events)
		defer instancer.Deregister(events)
		for {
			select {
			case e := <-events:
				if e.Err == nil {
					tell(len(e.Instances))
				}
			case <-ctx.Done():
				return
			}
		}
	}}
}

// poller asks for the healthy instances every few seconds.
func poller(agent *consultest.Server) watcher {
	client := agent.Client()
	return watcher{"poll every " + poll.String(), func(ctx context.Context, service string, tell func(int)) {
		tick := time.NewTicker(poll)
		defer tick.Stop()
		for {
			entries, _, err := client.Health().Service(service, "", true, (&api.QueryOptions{}).WithContext(ctx))
			if err == nil {
				tell(len(entries))
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}}
}

// TestIdleWatchesCostTheAgentLittle reports what 100 watches on which nothing
// happens cost the agent: its CPU, and the requests it gets.
func TestIdleWatchesCostTheAgentLittle(t *testing.T) {
	agent := consultest.Agent(t)
	var requests atomic.Int64
	target, err := url.Parse("http://" + agent.Addr())
	require.NoError(t, err)
	quiet := stdlog.New(io.Discard, "", 0) // questions that are given up at the end are no news
	front := &httputil.ReverseProxy{FlushInterval: -1, ErrorLog: quiet, Rewrite: func(r *httputil.ProxyRequest) { requests.Add(1); r.SetURL(target) }}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := http.Server{Handler: front, ReadHeaderTimeout: time.Second, ErrorLog: quiet}
	go func() { _ = server.Serve(ln) }()
	defer server.Close()

	reg, err := consul.New(consul.Config{API: &api.Config{Address: ln.Addr().String(), Scheme: "http"}})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	for i := range 100 {
		all.Go(func() {
			for range reg.Watch(ctx, fmt.Sprintf("idle-%d", i)) { //nolint:revive // to watch is all
			}
		})
	}
	pause(ctx, 10*time.Second)
	from, cpu := requests.Load(), agentCPU(t, agent.Addr())
	pause(ctx, 2*time.Minute)
	t.Logf("100 idle watches: %.0f requests a minute, %.2f%% of a core in the agent",
		float64(requests.Load()-from)/2, 100*(agentCPU(t, agent.Addr())-cpu).Seconds()/120)
}

// agentCPU is the CPU time that the agent at an address has used.
func agentCPU(t *testing.T, addr string) time.Duration {
	t.Helper()
	_, port, _ := strings.Cut(addr, ":")
	dirs, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	for _, dir := range dirs {
		args, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || !strings.Contains(string(args), "-http-port="+port) {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		require.NoError(t, err)
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')'):]))
		user, err := strconv.Atoi(fields[12])
		require.NoError(t, err)
		system, err := strconv.Atoi(fields[13])
		require.NoError(t, err)
		return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
	}
	require.FailNow(t, "the agent's process is not found in /proc")
	return 0
}
