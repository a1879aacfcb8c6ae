package command

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"example.com/app/platform/app"
	"example.com/app/platform/balance/policy"
)

// Serve is `app serve`: the roles, of a system made of all of these, in
// this process.
func Serve(all []app.Role, version string) *cobra.Command {
	var s serving
	cmd := &cobra.Command{
		Use:   "serve --role=LIST|all",
		Short: "Run one role, some, or the whole system",
		Long: `Run roles until told to stop.

With --role=all the whole system runs in this process and needs nothing: roles
find each other in memory and talk through memory, only the gateway's HTTP port
and the admin port are open. With any other list the roles listen on TCP and
find each other in Consul (CONSUL_HTTP_ADDR and its kin say where), or in a
list of peers.

SIGTERM or Ctrl-C drains: every instance leaves the registry, keeps answering
for a while, and ends when its last call is answered. A second one stops at
once. Exit codes: 0 clean, 1 it broke, 2 wrong command line, 3 calls were cut
at the --grace deadline, 130 or 143 stopped at once by the second signal.

Every flag has an environment variable: APP_LOG_LEVEL for --log-level. Flags
that may be repeated take several values there, separated by ";".`,
		Example: `  app serve --role=all                                the system on your desk
  app serve --role=all --replicas=greeter=3           with three greeters
  app serve --role=greeter                            one role, found through Consul
  app serve --role=gateway --route=/shop=shop         proxy /shop/ to the service "shop"
  app serve --role=greeter --registry=static --peer=phrasebook=10.0.0.7:50051`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := FromEnv(cmd, os.LookupEnv); err != nil {
				return err
			}
			cfg, err := s.config(all, version, streams{cmd.InOrStdin(), cmd.ErrOrStderr()}, cmd.Flags().Changed("drain"))
			if err != nil {
				return err
			}
			if cfg.Name, err = os.Hostname(); err != nil {
				return fmt.Errorf("name this machine: %w", err)
			}
			return explain(serve(cmd.Context(), cfg))
		},
	}
	s.flags(cmd.Flags())
	complete(cmd, "role", func() []string { return append([]string{"all"}, names(all)...) })
	complete(cmd, "registry", func() []string { return []string{"auto", "memory", "consul", "static"} })
	complete(cmd, "balance", policy.Names)
	complete(cmd, "network", func() []string { return []string{"auto", "memory", "tcp"} })
	complete(cmd, "log", func() []string { return []string{"auto", "text", "json"} })
	complete(cmd, "log-level", func() []string { return []string{"debug", "info", "warn", "error"} })
	return cmd
}

func complete(cmd *cobra.Command, flag string, values func() []string) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return values(), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // a flag of that name was not added: a slip in this file
	}
}

func names(roles []app.Role) []string {
	out := make([]string, len(roles))
	for i, r := range roles {
		out[i] = r.Name
	}
	return out
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("%s takes flags only, not %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// serve runs a node until the first signal, and gives up on it at the second.
func serve(ctx context.Context, cfg app.Config) error {
	node, err := app.New(cfg)
	if err != nil {
		return err
	}
	if cfg.Security.Insecure {
		cfg.Log.Warn("INSECURE: no certificates, no tokens, no rules: whoever reaches a port may do everything")
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	for asked := false; ; {
		select {
		case err := <-ended:
			return err
		case s := <-signals:
			if asked {
				node.Kill()
				number, _ := s.(syscall.Signal)
				return &SignalError{number}
			}
			asked = true
			cfg.Log.Info("stopping: calls under way are answered, a second signal stops at once", "signal", s.String())
			stop()
		}
	}
}
