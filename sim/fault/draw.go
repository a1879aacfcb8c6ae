package fault

import (
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// A Plan is what Draw draws from.
type Plan struct {
	Count  int           // faults in all
	Kinds  []Kind        // that may happen; a seed takes some of them (swarm testing, Groce et al., ISSTA 2012)
	Places []string      // hosts that may be struck
	Links  [][2]string   // pairs for the kinds that have two places; empty: all pairs of Places
	Within time.Duration // in which faults begin
	Last   time.Duration // longest time that one lasts; 0: a fifth of Within
}

// Draw takes a schedule from a seed. Each fault comes from a stream of its own.
func (p Plan) Draw(seed uint64) []Fault {
	on := Rand(seed, "kinds")
	var kinds []Kind
	for _, k := range p.Kinds {
		if on.IntN(2) == 0 {
			kinds = append(kinds, k)
		}
	}
	if len(kinds) == 0 && len(p.Kinds) > 0 {
		kinds = append(kinds, p.Kinds[on.IntN(len(p.Kinds))])
	}
	if len(kinds) == 0 || len(p.Places) == 0 || p.Within <= 0 {
		return nil
	}
	var all []Fault
	for i := range p.Count {
		all = append(all, p.one(Rand(seed, "fault", strconv.Itoa(i)), kinds))
	}
	Sort(all)
	return all
}

func (p Plan) one(r *rand.Rand, kinds []Kind) Fault {
	f := Fault{Kind: kinds[r.IntN(len(kinds))], At: seconds(r.Float64() * p.Within.Seconds())}
	last := p.Last
	if last <= 0 {
		last = p.Within / 5
	}
	t, _ := f.Kind.trait()
	if !t.once {
		f.For = max(time.Millisecond, seconds(r.Float64()*last.Seconds()))
	}
	if t.places == one {
		f.A = p.Places[r.IntN(len(p.Places))]
	}
	if t.places == two {
		f.A, f.B = p.pair(r)
		f.OneWay = f.Kind != Reset && r.IntN(4) == 0
	}
	x := t.low + (t.high-t.low)*r.Float64()
	switch t.amount {
	case delay:
		f.Delay = max(time.Millisecond, seconds(x))
	case offset:
		f.Delay = seconds(x)
		if f.Delay == 0 {
			f.Delay = time.Second
		}
	case share:
		f.Amount = float64(int(x*100)+1) / 100
	case count:
		f.Amount = float64(max(1, int(x)))
	case none:
	}
	return f
}

func (p Plan) pair(r *rand.Rand) (string, string) {
	if len(p.Links) > 0 {
		l := p.Links[r.IntN(len(p.Links))]
		return l[0], l[1]
	}
	a := r.IntN(len(p.Places))
	b := (a + 1 + r.IntN(max(1, len(p.Places)-1))) % len(p.Places)
	return p.Places[a], p.Places[b]
}

// Rand is a stream of random numbers that belongs to an event, whatever else is
// drawn from the same seed before or after it.
func Rand(seed uint64, event ...string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(strings.Join(event, "\x00")))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}
