package quality

import (
	"math"
	"math/rand/v2"
	"time"
)

// Steps are the loads of the ramp, in parts of what the instances are granted.
func steps() (loads []float64) {
	for i := range 9 {
		loads = append(loads, 0.75*math.Pow(10./9, float64(i)))
	}
	return loads
}

const (
	stepTime = 10 * time.Second
	rampWarm = 20 * time.Second // with the first load; nobody counts

	rampWork = 75 * time.Millisecond
	rampOf   = 2.0 // processors that an instance is granted

	crowded = 0.6              // of the machines have nothing to spare
	moves   = 10 * time.Second // between the changes of one machine
)

// Ramp offers more and more load to many instances from as many clients: the
// load ramp of the Prequal paper in kind. It returns a result for each step.
//
// Work is normally distributed, as wide as its mean, and not below 0. Each
// instance is granted the same on its machine and may use what the others there
// (antagonists) leave: nothing on three machines of five, and four to six times
// the grant on the rest, until they change their mind. The load is in parts of
// the grant, so that above 1 only those do well who find what is left.
func Ramp(c Config) []Result {
	if c.Instances == 0 {
		c.Instances = 100
	}
	c.Instances = max(c.Instances, 2) // one crowded, one not
	c.Maker.Warm = rampWarm
	c.Scenario = Scenario{Name: "ramp", clients: c.Instances, found: antagonists}
	r := newRun(c)
	defer r.close()
	r.update(r.listed)
	var tallies []*tally
	loads := steps()
	load := loads[0]
	for i := range loads {
		r.after(time.Duration(i)*stepTime, func() {
			load = loads[i]
			r.tally = newTally(c)
			r.tally.Offered = load
			tallies = append(tallies, r.tally)
		})
	}
	end := r.warm + time.Duration(len(loads))*stepTime
	r.arrive(arrivals{
		poisson: true,
		rate: func() float64 {
			return load * rampOf * float64(len(r.models)) / (meanWork * rampWork.Seconds())
		},
		more: func() bool { return r.loop.now < end },
	})
	r.loop.until(end + Patience)
	results := make([]Result, len(tallies))
	for i, t := range tallies {
		results[i] = t.result(r)
	}
	return results
}

// wide is N(1, 1), cut at 0; its mean is meanWork = Φ(1) + φ(1).
func wide(r *rand.Rand) float64 { return 1 + r.NormFloat64() }

const meanWork = 1.0833154705876864

// antagonists take part of the machines: all that is not granted of crowded
// ones, and little of the others. Now and then one of each change places, so
// that there are always as many. They don't look at the calls: they are the same
// for every entrant.
func antagonists(r *run) {
	dice := rand.New(rand.NewPCG(r.seed, 3))
	order := dice.Perm(len(r.models))
	some := int(crowded * float64(len(order)))
	leave := func(at int) {
		r.models[order[at]].change(func(m *model) {
			m.processors = rampOf
			if at >= some {
				m.processors = rampOf * (4 + 2*dice.Float64())
			}
		})
	}
	for at, i := range order {
		m := r.models[i]
		m.granted, m.work, m.spread = rampOf, rampWork, wide
		leave(at)
	}
	var swap func()
	swap = func() {
		i, j := dice.IntN(some), some+dice.IntN(len(order)-some)
		order[i], order[j] = order[j], order[i]
		leave(i)
		leave(j)
		r.loop.after(time.Duration(dice.ExpFloat64()*float64(2*moves)/float64(len(order))), swap)
	}
	r.loop.after(0, swap)
}
