package zoo

import (
	"time"

	"example.com/app/platform/app"
	"example.com/app/sim"
	"example.com/app/sim/fault"
)

// zombie is an instance that lost its lease and has not heard of it.
func zombie() Bug {
	return bug("zombie", "an instance whose lease ran out goes on until it is told", soleHolder, func(planted bool) sim.Scenario {
		end := byStopwatch
		if planted {
			end = byWord
		}
		return selling(end, ledgerAway(6))
	})
}

// byWord takes a lease to last until somebody says that it is another's.
func byWord(*app.Env, time.Time, time.Time) (over func() bool) { return func() bool { return false } }

// clockSkew is an instance that reads on its own clock when its lease ends,
// which another host wrote by another clock.
func clockSkew() Bug {
	return bug("clock-skew", "a lease ends by the clock of its holder, not of who granted it", soleHolder, func(planted bool) sim.Scenario {
		end := byStopwatch
		if planted {
			end = byClock
		}
		return selling(end, sim.Together(ledgerAway(9), among([]string{"stock"}, fault.Plan{
			Count: 3, Last: 20 * time.Second, Kinds: []fault.Kind{fault.Skew},
		})))
	})
}

// byClock takes a lease to end when the holder's clock says so.
func byClock(env *app.Env, _, until time.Time) (over func() bool) {
	return func() bool { return !env.Now().Before(until) }
}

// ledgerAway is so many faults that keep instances from renewing their lease.
func ledgerAway(count int) sim.Faults {
	return among([]string{"ledger"}, fault.Plan{
		Count: count, Last: 5 * time.Second, Links: [][2]string{{"stock-1", "ledger"}, {"stock-2", "ledger"}},
		Kinds: []fault.Kind{fault.SlowCalls, fault.LoseRequest, fault.Crash, fault.Restart, fault.Pause, fault.Partition},
	})
}
