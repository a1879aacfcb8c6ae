// Command proxy measures what a request through an HTTP proxy costs in
// processor time: ours, nginx, HAProxy, Caddy and net/http's own, before the
// same backends and under the same load, by turns.
//
//	go run ./integration/bench/proxy
//
// It needs Linux (/proc) and the peers: apt-get install nginx-light haproxy
// caddy. Ratios hold from machine to machine; times do not.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "proxy bench:", err)
		os.Exit(1)
	}
}

// A plan is what to measure.
type plan struct {
	connections, backends, size int
	rounds                      int
	turn                        time.Duration
	only                        string
	skipMissing                 bool
	profile                     string
}

func run(ctx context.Context, args []string) error {
	if len(args) == 2 && args[0] == "backends" {
		return backends(ctx, args[1])
	}
	if len(args) == 3 && args[0] == "standard" {
		return standard(ctx, args[1], args[2])
	}
	var p plan
	f := flag.NewFlagSet("proxy", flag.ContinueOnError)
	f.IntVar(&p.connections, "connections", 64, "keep-alive connections, each with one request at a time")
	f.IntVar(&p.backends, "backends", 3, "backends")
	f.IntVar(&p.size, "size", 1024, "bytes of an answer")
	f.IntVar(&p.rounds, "rounds", 5, "turns of each proxy; the median counts")
	f.DurationVar(&p.turn, "turn", 2*time.Second, "how long a turn lasts")
	f.StringVar(&p.only, "only", "", "names of the proxies to measure, separated by commas; empty: all")
	f.StringVar(&p.profile, "profile", "", "file for a processor profile of app, taken during its last turn")
	f.BoolVar(&p.skipMissing, "skip-missing", false, "go on without peers that are not installed")
	if err := f.Parse(args); err != nil {
		return err
	}
	return p.measure(ctx)
}

// measure starts everything, takes turns, and prints the table.
func (p plan) measure(ctx context.Context) error {
	y, err := newYard(ctx, p)
	if err != nil {
		return err
	}
	defer y.close()
	var all []*subject
	for _, s := range y.subjects(ctx) {
		if p.only != "" && !slices.Contains(strings.Split(p.only, ","), s.name) {
			continue
		}
		if err := y.start(ctx, s); err != nil {
			if p.skipMissing && s.missing != "" {
				fmt.Fprintf(os.Stderr, "WITHOUT %s: %v\n", s.name, err)
				continue
			}
			return err
		}
		all = append(all, s)
	}
	for round := range p.rounds + 1 { // the first warms up
		for _, s := range all {
			if p.profile != "" && s.name == "app" && round == p.rounds {
				go y.takeProfile(ctx)
			}
			t, err := y.turn(ctx, s)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if round > 0 {
				s.turns = append(s.turns, t)
			}
		}
	}
	return table(os.Stdout, p, all)
}

// table prints medians, and ratios to the first of all that is nginx.
func table(w io.Writer, p plan, all []*subject) error {
	base := 0.0
	for _, s := range all {
		if s.name == "nginx" {
			base = s.median(turn.cost)
		}
	}
	fmt.Fprintf(w, "%d backends, %d connections, %d bytes, %d turns of %v each: medians\n\n", p.backends, p.connections, p.size, p.rounds, p.turn)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "proxy\tµs of processor per request\tto nginx\trequests/s\tp50 ms\tp99 ms\t")
	for _, s := range all {
		ratio := "-"
		if base > 0 {
			ratio = fmt.Sprintf("%.2f", s.median(turn.cost)/base)
		}
		fmt.Fprintf(t, "%s\t%.1f\t%s\t%.0f\t%.2f\t%.2f\t\n", s.name, s.median(turn.cost), ratio,
			s.median(turn.rate), s.median(func(t turn) float64 { return t.p50 }), s.median(func(t turn) float64 { return t.p99 }))
	}
	return t.Flush()
}
