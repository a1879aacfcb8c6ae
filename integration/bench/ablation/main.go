// Command ablation shows what each edit of the exact twin is for: it builds twins
// that lack one, runs a seed on each again and again, in environments of many
// sizes, beside processes that do nothing but keep the machine busy, and counts how
// many traces come of it.
//
//	go run ./integration/bench/ablation
//
// A twin takes about a minute. How many traces there are without an edit is a
// matter of luck and of noise; that there is one with all of them is not.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"

	"example.com/app/sim/search"
	"example.com/app/sim/twin"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "spin" {
		for work := sha256.Sum256(nil); ; work = sha256.Sum256(work[:]) {
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "ablation:", err)
		os.Exit(1)
	}
}

// An ablation is what to run on each twin, and how often.
type ablation struct {
	runs, noise int
	seed        uint64
	args        []string // of app sim
	cache       string
	together    []int // the edits to leave out at once; none: each in turn
}

func run(ctx context.Context, args []string, out io.Writer) error {
	a := ablation{args: []string{"storm", "--replicas=greeter=40,gateway=4,phrasebook=5,issuer=1", "--rate=200", "--duration=5s"}}
	f := flag.NewFlagSet("ablation [-- scenario and flags of app sim]", flag.ContinueOnError)
	f.IntVar(&a.runs, "runs", 20, "runs of each twin")
	f.IntVar(&a.noise, "noise", 2, "processes that spin meanwhile")
	f.Uint64Var(&a.seed, "seed", 7, "what is run")
	f.Func("without", "`numbers` of edits to leave out at once, as 9 or 11,12,13; default: each in turn, and none", func(list string) error {
		for number := range strings.SplitSeq(list, ",") {
			n, err := strconv.Atoi(number)
			if err != nil || n < 1 || n > len(twin.Edits()) {
				return fmt.Errorf("%q is no number from 1 to %d", number, len(twin.Edits()))
			}
			a.together = append(a.together, n)
		}
		return nil
	})
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if f.NArg() > 0 {
		a.args = f.Args()
	}
	var err error
	if a.cache, err = os.MkdirTemp("", "ablation-"); err != nil {
		return fmt.Errorf("make a place for twins: %w", err)
	}
	defer os.RemoveAll(a.cache)
	quiet, err := spin(ctx, a.noise)
	defer quiet()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "| file of Go | line | why | traces of %d runs without it |\n|--|--|--|--|\n", a.runs)
	if a.together != nil {
		return a.without(ctx, a.together, out)
	}
	err = a.without(ctx, nil, out)
	for i := 1; i <= len(twin.Edits()) && err == nil; i++ {
		err = a.without(ctx, []int{i}, out)
	}
	return err
}

// without tries the twin that lacks the edits of those numbers.
func (a ablation) without(ctx context.Context, numbers []int, out io.Writer) error {
	row := "| | | nothing is left out"
	var edits []twin.Edit
	for i, e := range twin.Edits() {
		if slices.Contains(numbers, i+1) {
			row = e.Row()
		} else {
			edits = append(edits, e)
		}
	}
	path, err := twin.Build(ctx, twin.Config{Cache: a.cache, Edits: edits})
	switch {
	case err != nil && numbers == nil, ctx.Err() != nil:
		return err
	case err != nil: // others rest on this edit
		_, err = fmt.Fprintf(out, "%s | does not build |\n", row)
		return err
	}
	program := search.Program{Path: path, Args: append([]string{"sim"}, a.args...), Env: twin.Env()}
	traces := map[string]int{}
	for i := range a.runs {
		r, err := program.Padded(i*997).Run(ctx, search.Job{Seed: a.seed})
		if err != nil {
			return err
		}
		if r.Report == nil {
			traces[r.Died]++
			continue
		}
		traces[r.Report.Hash]++
	}
	fmt.Fprintf(out, "%s | %d |\n", row, len(traces))
	return nil
}

// spin keeps processors busy until quiet is called.
func spin(ctx context.Context, processes int) (quiet func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return func() {}, fmt.Errorf("find this program: %w", err)
	}
	var all []*exec.Cmd
	quiet = func() {
		for _, cmd := range all {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	for range processes {
		cmd := exec.CommandContext(ctx, self, "spin")
		if err := cmd.Start(); err != nil {
			return quiet, fmt.Errorf("make noise: %w", err)
		}
		all = append(all, cmd)
	}
	return quiet, nil
}
