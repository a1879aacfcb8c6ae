package desk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/reflect/protoregistry"

	"example.com/app/platform/app"
	"example.com/app/platform/auth/rule"
	"example.com/app/platform/command"
	"example.com/app/platform/telemetry"
	"example.com/app/sim/fleet"
	"example.com/app/sim/load"
)

// options is what `app sim` was asked for.
type options struct {
	replicas, work []string
	balance        []string
	duration, down time.Duration
	rate           float64
	crash          string
	version        string
	insecure       bool
}

// Command is `app sim`: a fleet of all the roles, under load, on this desk.
func Command(all []app.Role, version string) *cobra.Command {
	o := options{version: version}
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Run the fleet on your desk: load, a crash, what happened",
		Long: `Run the whole fleet in this process, in real time: every instance is a node of
its own on an in-memory network, users ask the gateways at a steady rate, and
midway one instance crashes (its connections are reset, nobody is told) and
comes back. The table at the end is what happened.

Exit code 1 when a call was lost, or when Ctrl-C ended the run before its time.
A user whose gateway refuses the connection asks the next one; a lone gateway
or phrasebook that crashes costs calls.`,
		Example: `  app sim
  app sim --replicas=greeter=5,gateway=2 --rate=1000 --duration=30s
  app sim --crash=none --work=greeter=20ms,workers=2    overload two slow greeters`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &command.UsageError{Err: fmt.Errorf("app sim takes flags only, not %q", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := command.FromEnv(cmd, os.LookupEnv); err != nil {
				return err
			}
			s, err := o.simulation(all)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			context.AfterFunc(ctx, stop) // a second signal ends the process
			return s.run(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.DurationVar(&o.duration, "duration", 10*time.Second, "how long users ask")
	f.Float64Var(&o.rate, "rate", 200, "requests per second, all users together")
	f.StringSliceVar(&o.replicas, "replicas", nil, "instances of a role, as in greeter=5 (may be repeated)")
	f.StringArrayVar(&o.work, "work", nil, "modelled work of a role, as in greeter=20ms,workers=8 (may be repeated)")
	f.StringArrayVar(&o.balance, "balance", nil, "how calls are shared, as in prequal, or greeter=round_robin (may be repeated)")
	f.StringVar(&o.crash, "crash", "greeter-1", "the instance that crashes midway, or none")
	f.BoolVar(&o.insecure, "insecure", false, "no certificates, no tokens, no rules: for a test")
	f.DurationVar(&o.down, "down", 2*time.Second, "how long it stays down")
	return cmd
}

// A simulation is one run of `app sim`.
type simulation struct {
	options
	fleet   *fleet.Fleet
	ground  *app.MemoryFabric
	hosts   [][]string // by role, callees first: the order of the start
	roles   []app.Role
	load    load.Load
	users   load.Tally
	mu      sync.Mutex
	tallies map[string]*load.Tally // by host
	lost    error                  // the first request that was
	event   string                 // what is going on, for the progress line
	note    string                 // on the instance that crashes, for the table
	up      time.Duration          // how long the start took
	begin   time.Time              // of the load
}

func (o options) simulation(all []app.Role) (*simulation, error) {
	if !(o.rate > 0 && o.rate <= 100_000) || o.duration <= 0 || o.down < 0 { // NaN is no rate either
		return nil, &command.UsageError{Err: errors.New("--rate must be above 0 and at most 100000, --duration above 0s, --down 0s or more")}
	}
	roles, err := command.Pick(all, []string{"all"})
	if err != nil {
		return nil, err
	}
	counts, err := command.Counts(all, roles, true, o.replicas)
	if err != nil {
		return nil, err
	}
	work, err := command.ParseWork(all, o.work)
	if err != nil {
		return nil, err
	}
	shares, err := command.ParseBalance(o.balance)
	if err != nil {
		return nil, err
	}
	s := &simulation{options: o, roles: roles, ground: app.Memory(), tallies: make(map[string]*load.Tally)}
	s.load = load.Load{Calls: load.Of(roles), Arrivals: load.Steady(o.rate), Duration: o.duration}
	if len(s.load.Calls) == 0 {
		return nil, errors.New("no role says what users ask for: set Load in a Role")
	}
	for _, role := range roles {
		var hosts []string
		for i := range counts[role.Name] {
			hosts = append(hosts, fmt.Sprintf("%s-%d", role.Name, i+1))
			s.tallies[hosts[i]] = new(load.Tally)
		}
		s.hosts = append([][]string{hosts}, s.hosts...)
	}
	if o.crash != "none" && s.tallies[o.crash] == nil {
		return nil, &command.UsageError{Err: &command.HintError{Err: fmt.Errorf("--crash: there is no instance %q", o.crash), Hint: "the instances are " + strings.Join(flat(s.hosts), ", ") + "; none crashes none"}}
	}
	s.fleet = fleet.New(s.ground, app.Config{
		Roles: roles, Version: o.version, Work: work, Balance: shares, Observe: s.observe,
		Security: app.Security{Insecure: o.insecure, Clients: []app.Client{s.client()}},
	})
	return s, nil
}

// client is the program that the users ask with: it may do whatever any method
// asks for.
func (s *simulation) client() app.Client {
	return app.Client{ID: "user", Secret: telemetry.Secret(rand.Text()), Scopes: rule.Scopes(protoregistry.GlobalFiles)}
}

// over says whether the run was interrupted.
func over(ctx context.Context) bool { return ctx.Err() != nil }

func flat(lists [][]string) []string {
	var all []string
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// run is the whole story. Its error says what was lost.
func (s *simulation) run(ctx context.Context, out, progress io.Writer) error {
	start := time.Now()
	if err := s.start(ctx); err != nil {
		return errors.Join(err, s.fleet.Close())
	}
	s.up, s.begin = time.Since(start), time.Now()

	background, cancel := context.WithCancel(context.Background())
	defer cancel()
	reg, net := s.ground.Host("user")
	user := load.NewUser(net, 10*time.Second)
	issuer := slices.ContainsFunc(s.roles, func(r app.Role) bool { return slices.Contains(r.Paths, "/oauth2") })
	if security := s.fleet.Settings().Security; issuer && !security.Insecure {
		user.LogIn(security.Clients[0])
	}
	var side sync.WaitGroup
	side.Go(func() { user.Run(background, reg) })
	side.Go(func() { s.show(background, progress) })
	failed := make(chan error, 1)
	side.Go(func() { failed <- s.spoil(ctx) })
	s.load.Run(ctx, user, s.answered)
	interrupted := over(ctx)
	spoiling := <-failed
	cancel()
	side.Wait()

	err := errors.Join(spoiling, s.fleet.Close())
	s.table(out)
	switch {
	case err != nil:
		return err
	case interrupted: // the table has what happened until then
		return fmt.Errorf("interrupted after %v of %v", time.Since(s.begin).Round(100*time.Millisecond), s.duration)
	case s.users.Failed() > 0:
		return fmt.Errorf("%d of %d calls were lost, the first: %w", s.users.Failed(), s.users.Calls(), s.lost)
	}
	return nil
}

// start starts the instances one after the other, callees first, until ctx
// ends.
func (s *simulation) start(ctx context.Context) error {
	for _, name := range flat(s.hosts) {
		if err := s.fleet.Start(ctx, name); err != nil && !over(ctx) {
			return err
		}
	}
	return nil
}

// spoil crashes an instance after two fifths of the time and starts it again
// when it has been down long enough, in time to be seen at work once more.
func (s *simulation) spoil(ctx context.Context) error {
	if s.crash == "none" || !sleep(ctx, s.duration*2/5) {
		return nil
	}
	s.say(s.crash+" crashed", "crashed at %.1fs", time.Since(s.begin).Seconds())
	if err := s.fleet.Crash(s.crash); err != nil {
		return err
	}
	if !sleep(ctx, min(s.down, s.duration*2/5)) {
		return nil
	}
	err := s.fleet.Start(ctx, s.crash)
	if over(ctx) {
		return nil // interrupted: it stays away
	}
	if err != nil {
		return err
	}
	s.say(s.crash+" is back", "%s, back at %.1fs", s.note, time.Since(s.begin).Seconds())
	return nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// observe hears of every call that an instance answered.
func (s *simulation) observe(c app.Call) {
	if t := s.tallies[c.Host]; t != nil {
		t.Add(c.Duration, !c.Failed())
	}
}

// answered hears of every request that a user sent. A request that the user
// gave up because the run was interrupted is not lost.
func (s *simulation) answered(d load.Done) {
	if errors.Is(d.Err, context.Canceled) {
		return
	}
	s.users.Add(d.Took, d.Err == nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.Err != nil && s.lost == nil {
		s.lost = fmt.Errorf("%s: %w", d.Call, d.Err)
	}
}

// say tells the progress line what is going on, and the closing table what
// became of the instance that crashes.
func (s *simulation) say(event, note string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.event, s.note = event, fmt.Sprintf(note, args...)
}
