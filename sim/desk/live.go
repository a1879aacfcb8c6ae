package desk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"example.com/app/platform/command"
	"example.com/app/sim"
	"example.com/app/sim/load"
	"example.com/app/sim/page"
)

// watch runs the scenario in real time, and shows how it goes.
func (t *task) watch(ctx context.Context) error {
	begin := time.Now()
	side, cancel := context.WithCancel(context.Background())
	defer cancel()
	var sides sync.WaitGroup
	door, err := t.listen(ctx)
	if err != nil {
		return err
	}
	options := t.options.sim(t)
	options.Live = true
	options.Seed = max(1, options.Seed)
	if t.bare {
		options.Knob = load.NewKnob(t.rate)
	}
	options.Started = func(w *sim.World) {
		t.world = w
		sides.Go(func() { t.show(side, t.cmd.ErrOrStderr()) })
		if door != nil {
			sides.Go(func() { t.serve(side, door, page.New(page.Config{World: w})) })
		}
	}
	lines, end, err := t.lines()
	if err != nil {
		return err
	}
	options.Lines = lines
	report, err := t.scenario.Run(ctx, options)
	cancel()
	sides.Wait()
	if err = errors.Join(err, end()); err != nil {
		return err
	}
	t.table(t.cmd.OutOrStdout(), report)
	if t.world != nil {
		if err := t.draw(report, t.world.Trace.Events()); err != nil {
			return err
		}
	}
	switch {
	case ctx.Err() != nil: // the table has what happened until then
		return fmt.Errorf("interrupted after %v of %v", time.Since(begin).Round(100*time.Millisecond), t.scenario.Duration+t.scenario.Heal)
	case report.Broken():
		return verdict(report)
	case t.bare && report.Failed > 0:
		return fmt.Errorf("%d of %d calls were lost, the first: %s", report.Failed, report.Requests, report.FirstLost)
	}
	return nil
}

// listen opens the door of the live page; nil: it is not asked for.
func (t *task) listen(ctx context.Context) (net.Listener, error) {
	if t.page == "" {
		return nil, nil //nolint:nilnil // there is nothing to listen on, and nothing wrong
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", t.page)
	if err != nil {
		return nil, &command.UsageError{Err: fmt.Errorf("--page: %w", err)}
	}
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		_ = l.Close()
		return nil, &command.UsageError{Err: fmt.Errorf("--page: %s can be reached from outside, and whoever reaches it breaks the fleet: use a loopback address, as in 127.0.0.1:7070", t.page)}
	}
	_, _ = fmt.Fprintf(t.cmd.ErrOrStderr(), "the live page is at http://%s\n", l.Addr())
	return l, nil
}

// serve shows the live page until ctx ends.
func (t *task) serve(ctx context.Context, l net.Listener, p *page.Page) {
	server := &http.Server{Handler: p, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
	var sides sync.WaitGroup
	sides.Go(func() { _ = server.Serve(l) })
	if err := p.Run(ctx); err != nil && ctx.Err() == nil {
		_, _ = fmt.Fprintf(t.cmd.ErrOrStderr(), "app: the live page: %v\n", err)
	}
	_ = server.Close()
	sides.Wait()
}
