package zoo

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"example.com/app/platform/app"
	"example.com/app/platform/errs"
	"example.com/app/sim"
	"example.com/app/sim/load"
	"example.com/app/sim/zoo/parts"
)

// soleHolder is what a lease is for.
const soleHolder = "only the holder of the newest lease answers"

// selling is a system in which one instance at a time may sell.
func selling(end ending, faults sim.Faults) sim.Scenario {
	disk := new(parts.Disk)
	return sim.Scenario{
		Roles: []app.Role{
			retrying("stock", "Sell"),
			parts.Backend("stock", func(env *app.Env) (app.Service, error) { return primary(env, end) }),
			backend("ledger", func(env *app.Env) parts.Method { return leases(env, disk) }),
		},
		Fleet:  map[string]int{"gateway": 1, "stock": 2, "ledger": 1},
		Calls:  load.Requests("POST /sell"),
		Faults: faults,
		Check: fresh(disk, func(w *sim.World) {
			newest := 0
			w.Always(soleHolder, func(f app.Fact) error {
				epoch, err := strconv.Atoi(f.Key)
				if f.Name == "lease.granted" {
					newest = max(newest, epoch)
				} else if epoch < newest {
					return fmt.Errorf("%s answered under lease %d, after lease %d was granted", f.Host, epoch, newest)
				}
				return err
			})
		}),
	}
}

// leased is how long a lease lasts.
const leased = 2 * time.Second

// leases is the method that grants the lease, to one instance at a time.
func leases(env *app.Env, disk *parts.Disk) parts.Method {
	var one sync.Mutex // there is one ledger, which answers one at a time
	return parts.Method{Name: "Lease", Do: func(_ context.Context, words []string) (string, error) {
		one.Lock()
		defer one.Unlock()
		var holder string
		var epoch int
		var until int64
		_, _ = fmt.Sscan(disk.Read("lease").Value, &holder, &epoch, &until) // nothing: nobody has had it yet
		now := env.Now()
		if over := now.UnixNano() >= until; !over && holder != words[0] {
			return "", errs.Precondition.New("%s has the lease", holder)
		} else if over {
			epoch++
			env.Fact("lease.granted", strconv.Itoa(epoch), words[0])
		}
		until = now.Add(leased).UnixNano()
		disk.Write("lease", fmt.Sprint(words[0], " ", epoch, " ", until))
		return fmt.Sprint(epoch, " ", until), nil
	}}
}

// A lease is what an instance knows of its own.
type lease struct {
	mu    sync.Mutex
	epoch int // 0: it has none
	over  func() bool
}

// take notes a lease that was granted, or with epoch 0 that another has it.
func (l *lease) take(epoch int, over func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch, l.over = epoch, over
}

// held is the lease, as far as the instance knows; 0: it has none.
func (l *lease) held() (epoch int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epoch == 0 || l.over() {
		return 0
	}
	return l.epoch
}

// An ending says when a lease is over that was asked for at a time of the
// holder, and ends at a time of who granted it.
type ending func(env *app.Env, asked, until time.Time) (over func() bool)

// byStopwatch counts from before the question: the ledger counts from later.
func byStopwatch(_ *app.Env, asked, _ time.Time) (over func() bool) {
	return func() bool { return time.Since(asked) >= leased }
}

// primary is the role of which the holder of the lease alone answers.
func primary(env *app.Env, end ending) (app.Service, error) {
	ledger, err := parts.Dial(env, "ledger")
	own := new(lease)
	renew := func(ctx context.Context) {
		asked := time.Now()
		ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		text, err := ledger.Ask(ctx, "Lease", env.Instance)
		if errs.Precondition.Is(err) {
			own.take(0, nil)
		}
		var epoch int
		var until int64
		if _, bad := fmt.Sscan(text, &epoch, &until); err == nil && bad == nil {
			own.take(epoch, end(env, asked, time.Unix(0, until)))
		}
	}
	sell := func(context.Context, []string) (string, error) {
		epoch := own.held()
		if epoch == 0 {
			return "", errs.Precondition.New("another instance sells")
		}
		env.Fact("sold", strconv.Itoa(epoch), "")
		return "sold", nil
	}
	return parts.Worker{
		Service: parts.Service{Role: "stock", Methods: []parts.Method{{Name: "Sell", Do: sell}}},
		Work: func(ctx context.Context) error {
			parts.Every(ctx, 500*time.Millisecond, func() { renew(ctx) })
			return nil
		},
	}, err
}
