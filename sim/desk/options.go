package desk

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"example.com/app/platform/app"
	"example.com/app/platform/command"
	"example.com/app/platform/resilience"
	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/load"
)

// options is what `app sim` was asked for.
type options struct {
	// the fleet and its load
	replicas, work []string
	balance        []string
	duration, heal time.Duration
	rate           float64
	insecure       bool

	// the crash of a bare `app sim`
	crash string
	down  time.Duration

	// the engine
	virtual       bool
	seed, runtime uint64
	schedule      string
	timeout       time.Duration

	// more than one run
	search   int
	collect  bool
	paranoid bool
	jobs     int
	shrink   bool
	keep     string
	verify   int

	// what is seen
	traces []string
	json   bool
	page   string
	tui    string
}

func (o *options) flags(f *pflag.FlagSet) {
	f.DurationVar(&o.duration, "duration", 10*time.Second, "how long it goes on; of a scenario, how long faults happen")
	f.DurationVar(&o.heal, "heal", 0, "how long a scenario goes on after all is healed (default as it says)")
	f.Float64Var(&o.rate, "rate", 200, "requests per second, all users together")
	f.StringSliceVar(&o.replicas, "replicas", nil, "instances of a role, as in greeter=5 (may be repeated)")
	f.StringArrayVar(&o.work, "work", nil, "modelled work of a role, as in greeter=20ms,workers=8 (may be repeated)")
	f.StringArrayVar(&o.balance, "balance", nil, "how calls are shared, as in prequal, or greeter=round_robin (may be repeated)")
	f.BoolVar(&o.insecure, "insecure", false, "no certificates, no tokens, no rules: for a test")
	f.StringVar(&o.crash, "crash", "greeter-1", "the instance that crashes midway where no scenario is named, or none")
	f.DurationVar(&o.down, "down", 2*time.Second, "how long it stays down")

	f.BoolVar(&o.virtual, "virtual", false, "run in virtual time in this process: fast, and alike from run to run, not the same")
	f.Uint64Var(&o.seed, "seed", 0, "run in virtual time, exactly: the same seed gives the same trace")
	f.Uint64Var(&o.runtime, "runtime-seed", 0, "seed of goroutines, maps and keys alone (default as --seed)")
	f.StringVar(&o.schedule, "schedule", "", "run the faults of a file that --shrink or --keep wrote")
	f.DurationVar(&o.timeout, "timeout", 10*time.Minute, "by the wall clock, after which a run in virtual time is asked for its stacks")

	f.IntVar(&o.search, "search", 0, "run so many seeds, a process each, until one breaks an invariant")
	f.BoolVar(&o.collect, "collect", false, "search on after a seed that breaks one")
	f.BoolVar(&o.paranoid, "paranoid", false, "run each tenth seed of a search twice, and compare")
	f.IntVar(&o.jobs, "jobs", 0, "processes at a time (default one for each processor)")
	f.BoolVar(&o.shrink, "shrink", false, "take away from a failure all that it does not need")
	f.StringVar(&o.keep, "keep", "", "write the schedule of the failure to a file")
	f.IntVar(&o.verify, "verify", 0, "run the seed so many times, each in another environment, and compare the traces")

	f.StringArrayVar(&o.traces, "trace", nil, "write what happened: .html is a timeline, .json for ui.perfetto.dev, .md a sequence diagram, .txt all lines (may be repeated)")
	f.BoolVar(&o.json, "json", false, "print the report as JSON")
	f.StringVar(&o.page, "page", "", "serve the live page on this address, as in 127.0.0.1:7070")
	f.StringVar(&o.tui, "tui", "auto", "a table that changes while it runs: auto (on a terminal), on, or off")
}

// passed lists the flags that were set and that a process for one seed of the
// same scenario must be given too.
func passed(cmd *cobra.Command) []string {
	var all []string
	for _, name := range []string{"duration", "heal", "rate", "replicas", "work", "balance", "insecure", "crash", "down", "virtual", "timeout"} {
		f := cmd.Flags().Lookup(name)
		if !f.Changed {
			continue
		}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			for _, v := range list.GetSlice() {
				all = append(all, "--"+name+"="+v)
			}
			continue
		}
		all = append(all, "--"+name+"="+f.Value.String())
	}
	return all
}

// check refuses what makes no sense.
func (o *options) check(cmd *cobra.Command) error {
	usage := func(format string, args ...any) error { return &command.UsageError{Err: fmt.Errorf(format, args...)} }
	set := func(name string) bool { return cmd.Flags().Changed(name) }
	switch {
	case !(o.rate > 0 && o.rate <= 100_000) || o.duration <= 0 || o.down < 0 || o.heal < 0: // NaN is no rate either
		return usage("--rate must be above 0 and at most 100000, --duration above 0s, --down and --heal 0s or more")
	case o.search < 0 || o.verify < 0 || o.jobs < 0 || o.timeout <= 0:
		return usage("--search, --verify and --jobs must be 0 or more, --timeout above 0s")
	case !slices.Contains([]string{"auto", "on", "off"}, o.tui):
		return usage("--tui must be auto, on or off, not %q", o.tui)
	case o.search > 0 && o.verify > 0:
		return usage("--search looks for a failure, --verify repeats one seed: choose one")
	case o.verify == 1:
		return usage("--verify compares runs: it needs 2 or more")
	case (o.collect || o.paranoid) && o.search == 0:
		return usage("--collect and --paranoid belong to --search")
	case o.verify > 0 && o.virtual:
		return usage("--virtual does not promise the same trace twice: leave it out")
	case o.page != "" && (o.virtual || set("seed")):
		return usage("--page shows a fleet that runs in real time: leave out --virtual and --seed")
	case o.json && (o.search > 0 || o.shrink || o.verify > 0):
		return usage("--json prints the report of one run")
	case o.schedule != "" && o.search > 0:
		return usage("--schedule runs the faults of a file, --search those of seeds: choose one")
	}
	for _, name := range o.traces {
		if _, err := rendering(name); err != nil {
			return &command.UsageError{Err: err}
		}
	}
	return nil
}

// change is a scenario with what the flags say of it.
func (o *options) change(set func(flag string) bool, s sim.Scenario, all []app.Role) (sim.Scenario, error) {
	roles := s.Roles
	if roles == nil {
		roles = all
	}
	work, err := command.ParseWork(roles, o.work)
	if err != nil {
		return s, err
	}
	shares, err := command.ParseBalance(o.balance)
	if err != nil {
		return s, err
	}
	if set("replicas") {
		if s, err = o.count(s, roles); err != nil {
			return s, err
		}
	}
	if set("duration") {
		s.Duration = o.duration
	}
	if set("heal") {
		s.Heal = o.heal
	}
	if set("rate") {
		s.Arrivals = load.Poisson(o.rate)
	}
	before := s.Node
	s.Node = func(cfg *app.Config) {
		if before != nil {
			before(cfg)
		}
		cfg.Security.Insecure = cfg.Security.Insecure || o.insecure
		if len(shares) > 0 {
			cfg.Balance = shares
		}
		if len(work) > 0 {
			if cfg.Work == nil {
				cfg.Work = map[string]resilience.Work{}
			}
			maps.Copy(cfg.Work, work)
		}
	}
	return s, nil
}

// count is the scenario with the number of instances that --replicas says.
func (o *options) count(s sim.Scenario, roles []app.Role) (sim.Scenario, error) {
	if len(o.replicas) == 0 {
		return s, nil
	}
	counts, err := command.Counts(roles, roles, true, o.replicas)
	if err != nil {
		return s, err
	}
	s, err = s.WithDefaults(roles)
	if err != nil {
		return s, err
	}
	s.Fleet = maps.Clone(s.Fleet)
	for _, text := range o.replicas {
		name, _, _ := strings.Cut(text, "=")
		s.Fleet[name] = counts[name]
	}
	return s, nil
}

// bare is the scenario of an `app sim` that names none: a steady load, and an
// instance that crashes and comes back.
func (o *options) bare(all []app.Role) (sim.Scenario, error) {
	roles, err := command.Pick(all, []string{"all"})
	if err != nil {
		return sim.Scenario{}, err
	}
	s := sim.Scenario{
		Name: "desk", Doc: "the fleet on your desk: a steady load, a crash",
		Arrivals: load.Steady(o.rate), Duration: o.duration * 4 / 5, Heal: o.duration / 5,
	}
	if s, err = o.count(s, roles); err != nil {
		return s, err
	}
	if s, err = s.WithDefaults(roles); err != nil {
		return s, err
	}
	if o.crash == "none" {
		return s, nil
	}
	if !slices.Contains(s.Hosts(), o.crash) {
		hosts := s.Hosts()
		return s, &command.UsageError{Err: &command.HintError{
			Err: fmt.Errorf("--crash: there is no instance %q", o.crash), Hint: "the instances are " + strings.Join(hosts, ", ") + "; none crashes none",
		}}
	}
	crash := fault.Fault{At: o.duration * 2 / 5, Kind: fault.Crash, A: o.crash, For: max(time.Millisecond, min(o.down, o.duration*2/5))}
	s.Faults = func(sim.Draft) []fault.Fault { return []fault.Fault{crash} }
	return s, nil
}

// named finds a scenario.
func named(all []sim.Scenario, name string) (sim.Scenario, error) {
	i := slices.IndexFunc(all, func(s sim.Scenario) bool { return s.Name == name })
	if i >= 0 {
		return all[i], nil
	}
	return sim.Scenario{}, &command.UsageError{Err: &command.HintError{
		Err: fmt.Errorf("there is no scenario %q", name), Hint: "`app sim list` shows them all",
	}}
}
