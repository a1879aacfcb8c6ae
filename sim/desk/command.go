// Package desk is `app sim`: the fleet on your desk, in one of three engines.
//
//	app sim             in real time, to look at and to play with
//	app sim --virtual   in virtual time, in this process
//	app sim --seed=N    in virtual time, in the exact twin: byte for byte again
package desk

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"example.com/app/platform/app"
	"example.com/app/platform/command"
	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/twin"
)

// A System is what can be simulated.
type System struct {
	Roles     []app.Role
	Scenarios []sim.Scenario
	Version   string // of the program
}

// Command is `app sim`.
func Command(sys System) *cobra.Command {
	sys = sys.withZoo()
	o := options{}
	cmd := &cobra.Command{
		Use:   "sim [SCENARIO]",
		Short: "Run the fleet on your desk: load, faults, what happens",
		Long: `Run the whole fleet in this process: every instance is a node of its own, on a
network that can be spoilt, and finds the others through a Consul agent on that
network. Users ask the gateways, and things go wrong.

  app sim                 in real time: a steady load, a crash, a table of what happened
  app sim SCENARIO        in real time: its load, its faults; app sim list shows them
  app sim --virtual       in virtual time: minutes pass in seconds
  app sim --seed=N        in virtual time, exactly: the same seed, the same trace

An exact run is made by a twin of this program, which is built from its source
once (with the go command) and kept. --virtual needs nothing, and is fast and
alike from run to run; it promises no more. Without a name, these two run the
scenario "storm".

Exit code 1 when an invariant broke, when a bare "app sim" lost a call, or when
Ctrl-C ended the run before its time.`,
		Example: `  app sim --replicas=greeter=5,gateway=2 --rate=1000 --duration=30s
  app sim --crash=none --work=greeter=20ms,workers=2    overload two slow greeters
  app sim storm --search=1000                           look for a seed that breaks it
  app sim storm --seed=11 --shrink --keep=storm.json    make that small, and keep it
  app sim --schedule=storm.json --trace=storm.html      look at it`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &command.UsageError{Err: fmt.Errorf("app sim takes one scenario, not %q", strings.Join(args, " "))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := command.FromEnv(cmd, os.LookupEnv); err != nil {
				return err
			}
			if err := o.check(cmd); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			context.AfterFunc(ctx, stop) // a second signal ends the process
			t, err := o.task(cmd, sys, args)
			if err != nil {
				return err
			}
			return t.run(ctx)
		},
	}
	o.flags(cmd.Flags())
	cmd.AddCommand(list(sys), describe(sys), zooCommand(sys), test())
	return cmd
}

// A task is what one call of the command is to do.
type task struct {
	*options
	cmd      *cobra.Command
	sys      System
	scenario sim.Scenario    // with the changes of the flags, and its defaults
	schedule *fault.Schedule // nil: the scenario's own faults
	bare     bool            // no scenario was named
	live     bool            // in real time
	world    *sim.World      // once the load has begun
}

// storm is the scenario that runs in virtual time where none is named.
const storm = "storm"

func (o *options) task(cmd *cobra.Command, sys System, args []string) (*task, error) {
	t := &task{options: o, cmd: cmd, sys: sys}
	set := func(name string) bool { return cmd.Flags().Changed(name) }
	t.live = !o.virtual && !twin.Exact && !set("seed") && !set("runtime-seed") && o.search == 0 && !o.shrink && o.schedule == "" && o.verify == 0
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	if o.schedule != "" {
		s, err := readSchedule(o.schedule)
		if err != nil {
			return nil, err
		}
		if name == "" {
			name = s.Scenario
		}
		if !set("seed") {
			o.seed = s.Seed
		}
		if !set("runtime-seed") {
			o.runtime = s.Runtime
		}
		t.schedule = &s
	}
	var err error
	switch {
	case name == "" && t.live || name == "desk":
		t.bare = true
		t.scenario, err = o.bare(sys.Roles)
	case name == "":
		name = storm
		fallthrough
	default:
		t.scenario, err = named(sys.Scenarios, name)
	}
	if err != nil {
		return nil, err
	}
	if t.bare { // it has been made from them
		set = func(string) bool { return false }
	}
	if t.scenario, err = o.change(set, t.scenario, sys.Roles); err != nil {
		return nil, err
	}
	t.scenario, err = t.scenario.WithDefaults(sys.Roles)
	return t, err
}

func readSchedule(name string) (fault.Schedule, error) {
	f, err := os.Open(name)
	if err != nil {
		return fault.Schedule{}, &command.UsageError{Err: fmt.Errorf("--schedule: %w", err)}
	}
	defer f.Close()
	s, err := fault.Read(f)
	if err != nil {
		return s, &command.UsageError{Err: fmt.Errorf("--schedule: %s: %w", name, err)}
	}
	return s, nil
}

// run does what the flags ask for.
func (t *task) run(ctx context.Context) error {
	switch {
	case t.live:
		return t.watch(ctx)
	case t.search > 0:
		return t.seek(ctx)
	case t.verify > 0:
		return t.compare(ctx)
	case t.shrink:
		return t.small(ctx)
	case t.virtual || twin.Exact:
		return t.once()
	default:
		return t.hand(ctx)
	}
}
