package command

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"example.com/app/platform/app"
	"example.com/app/platform/registry"
	"example.com/app/platform/registry/consul"
)

// A row is what `app ps` tells of an instance.
type row struct {
	Role     string    `json:"role"`
	Instance string    `json:"instance"`
	Addr     string    `json:"addr"`
	Zone     string    `json:"zone"`
	Version  string    `json:"version"`
	Health   string    `json:"health"`
	Started  time.Time `json:"started,omitzero"`
	Tags     []string  `json:"tags"`
}

// Ps is `app ps`: who is up, as the registry sees it from here.
func Ps(all []app.Role) *cobra.Command {
	var format string
	var follow bool
	var patience time.Duration
	cmd := &cobra.Command{
		Use:   "ps [ROLE...]",
		Short: "List who is up, as Consul sees it",
		Long: `List the instances of the roles, or of the services that are named: where each
is, its zone, version, health and age, as Consul sees it from here
(CONSUL_HTTP_ADDR and its kin say where Consul is). Instances that callers do
not see, because their check fails or they are under maintenance, are listed
too.

With --watch the list is printed again after every change, until Ctrl-C.`,
		Example: "  app ps\n  app ps greeter -o json\n  app ps --watch",
		RunE: func(cmd *cobra.Command, roles []string) error {
			if err := FromEnv(cmd, os.LookupEnv); err != nil {
				return err
			}
			if format != "table" && format != "json" {
				return usage("-o %q: want table or json", format)
			}
			if len(roles) == 0 {
				roles = names(all)
			}
			reg, err := consul.New(consul.Config{})
			if err != nil {
				return &HintError{err, "CONSUL_HTTP_ADDR and its kin say where Consul is and how to talk to it"}
			}
			p := &ps{reg: reg, roles: roles, format: format, patience: patience, out: cmd.OutOrStdout(), now: time.Now}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			if follow {
				return p.watch(ctx)
			}
			return p.print(ctx)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&format, "output", "o", "table", "output format: table, json")
	f.BoolVarP(&follow, "watch", "w", false, "print again after every change")
	f.DurationVar(&patience, "timeout", 10*time.Second, "how long to wait for Consul")
	complete(cmd, "output", func() []string { return []string{"table", "json"} })
	return cmd
}

// ps prints the instances of roles.
type ps struct {
	reg      registry.Registry
	roles    []string
	format   string
	patience time.Duration
	out      io.Writer
	now      func() time.Time
}

// print prints the list once.
func (p *ps) print(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	rows := []row{}
	for _, role := range p.roles {
		set, err := registry.List(ctx, p.reg, role)
		if err != nil {
			return &HintError{err, "is Consul up, and does CONSUL_HTTP_ADDR say where?"}
		}
		for _, in := range set {
			rows = append(rows, row{role, in.ID, in.Addr, in.Zone, in.Version, in.Health, in.Started, in.Tags})
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Instance, b.Instance))
	})
	if p.format == "json" {
		e := json.NewEncoder(p.out)
		e.SetIndent("", "  ")
		return e.Encode(rows)
	}
	t := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ROLE\tINSTANCE\tADDRESS\tZONE\tVERSION\tHEALTH\tAGE")
	for _, r := range rows {
		age := "-"
		if !r.Started.IsZero() {
			age = p.now().Sub(r.Started).Round(time.Second).String()
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Role, r.Instance, r.Addr, or(r.Zone), or(r.Version), r.Health, age)
	}
	return t.Flush() // where an earlier write failed, this fails too
}

func or(text string) string { return cmp.Or(text, "-") }

// watch prints the list now and after every change, until ctx ends. While
// Consul is away it says so and goes on.
func (p *ps) watch(ctx context.Context) error {
	changed := make(chan error, 1)
	var watches sync.WaitGroup
	defer watches.Wait()
	for _, role := range p.roles {
		watches.Go(func() {
			for _, err := range p.reg.Watch(ctx, role) {
				select {
				case changed <- err:
				default: // a print is due anyway
				}
			}
		})
	}
	for {
		select {
		case err := <-changed:
			if err == nil {
				err = p.print(ctx)
			}
			if err != nil && ctx.Err() == nil {
				_, _ = fmt.Fprintf(p.out, "%v\n", err)
			}
			_, _ = fmt.Fprintln(p.out)
		case <-ctx.Done():
			return nil
		}
	}
}
