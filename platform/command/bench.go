package command

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"example.com/app/platform/balance/policy"
	"example.com/app/platform/balance/quality"
)

// Bench is `app bench`: measurements that anyone can repeat.
func Bench() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure what this program promises",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(benchBalance())
	return cmd
}

// balanceBench is what `app bench balance` was asked for.
type balanceBench struct {
	policies []string
	sizes    []int
	ramp     int
	svg      string
}

// benchBalance is `app bench balance`.
func benchBalance() *cobra.Command {
	var b balanceBench
	cmd := &cobra.Command{
		Use:   "balance",
		Short: "Compare balancing policies in bad cases, ours and grpc-go's",
		Long: `Send the same calls through each policy, in virtual time: one instance slow,
failing or hanging while the list changes, a zone that dies, mixed speeds, a new
instance, a flash crowd, and the load ramp of the Prequal paper. Picks are real,
the fleet is a model, and our policies give the same figures each time;
grpc-go's draw lots of their own.`,
		Example: `  app bench balance
  app bench balance --policy=peak_ewma,prequal:probes=1 --size=3,100
  app bench balance --svg=balance.svg`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := FromEnv(cmd, os.LookupEnv); err != nil {
				return err
			}
			return b.run(cmd)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&b.policies, "policy", nil, "a policy to compare with grpc-go's (may be repeated); default: all of ours")
	f.IntSliceVar(&b.sizes, "size", []int{2, 3, 10, 100}, "numbers of instances")
	f.IntVar(&b.ramp, "ramp", 100, "clients, and instances, in the load ramp; 0: no ramp")
	f.StringVar(&b.svg, "svg", "", "file for a plot")
	complete(cmd, "policy", policy.Names)
	return cmd
}

func (b balanceBench) run(cmd *cobra.Command) error {
	bench, err := b.bench()
	if err != nil {
		return err
	}
	var plot *os.File
	if b.svg != "" { // before the work, not after it
		if plot, err = os.Create(filepath.Clean(b.svg)); err != nil {
			return usage("--svg: %w", err)
		}
	}
	results, err := bench.Run(cmd.Context())
	if err != nil {
		return err
	}
	if err := quality.Table(cmd.OutOrStdout(), results); err != nil || plot == nil {
		return err
	}
	return write(plot, func(w io.Writer) error { return quality.SVG(w, results) })
}

// write fills a file and closes it.
func write(f *os.File, fill func(io.Writer) error) error {
	err := fill(f)
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", f.Name(), err)
	}
	return nil
}

func (b balanceBench) bench() (quality.Bench, error) {
	names := b.policies
	if len(names) == 0 {
		names = policy.Names()
	}
	bench := quality.Bench{Sizes: b.sizes, Ramp: b.ramp}
	for _, name := range names {
		if _, err := policy.Parse(name); err != nil {
			return bench, usage("--policy: %w", err)
		}
		bench.Makers = append(bench.Makers, quality.Ours(strings.TrimSpace(name)))
	}
	bench.Makers = append(bench.Makers, quality.Theirs()...)
	for _, n := range b.sizes {
		if n < 2 || n > 1000 {
			return bench, usage("--size %d: want 2 to 1000 instances", n)
		}
	}
	if b.ramp < 0 || b.ramp > 1000 {
		return bench, usage("--ramp %d: want 0 to 1000", b.ramp)
	}
	if b.ramp == 0 {
		bench.Ramp = -1
	}
	return bench, nil
}
