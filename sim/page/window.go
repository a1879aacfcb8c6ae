package page

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"example.com/app/sim"
)

// slots is how many samples a window has.
const slots = 12

// A window is the calls of the last few samples.
type window struct {
	slots  [slots]slot
	filled int // slots that have been closed, at most all but the one that is filled
	at     int
}

type slot struct {
	calls, failed int
	took          []time.Duration // of so many of them
}

// kept is how many durations a slot keeps.
const kept = 512

func (w *window) add(took time.Duration, ok bool) {
	s := &w.slots[w.at]
	s.calls++
	if !ok {
		s.failed++
	}
	if len(s.took) < kept {
		s.took = append(s.took, took)
	}
}

// A quantity is what a window holds: rates are per second.
type quantity struct {
	rate, errors float64
	p99          time.Duration
}

// close ends a slot, which took so long, and says what all of them hold.
func (w *window) close(every time.Duration) quantity {
	w.filled = min(w.filled+1, slots)
	var calls, failed int
	var took []time.Duration
	for _, s := range w.slots {
		calls, failed, took = calls+s.calls, failed+s.failed, append(took, s.took...)
	}
	span := (time.Duration(w.filled) * every).Seconds()
	q := quantity{rate: float64(calls) / span, errors: float64(failed) / span}
	if len(took) > 0 {
		slices.Sort(took)
		q.p99 = took[(len(took)*99+99)/100-1]
	}
	w.at = (w.at + 1) % slots
	w.slots[w.at] = slot{took: w.slots[w.at].took[:0]}
	return q
}

func (v *view) window(host string) *window {
	w := v.hosts[host]
	if w == nil {
		w = new(window)
		v.hosts[host] = w
	}
	return w
}

func (v *view) edge(from, to string) *window {
	key := [2]string{from, to}
	w := v.edges[key]
	if w == nil {
		w = new(window)
		v.edges[key] = w
	}
	return w
}

// flows are the edges on which anything goes, sorted.
func (v *view) flows() []Edge {
	all := []Edge{}
	for key, w := range v.edges {
		q := w.close(v.every)
		if q.rate == 0 {
			delete(v.edges, key)
			continue
		}
		all = append(all, Edge{key[0], key[1], q.rate, q.errors})
	}
	slices.SortFunc(all, func(a, b Edge) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	return all
}

// layers puts each role one layer behind the hindmost of its callers.
func layers(s sim.Scenario) []Role {
	depth := map[string]int{}
	for range len(s.Roles) { // a chain is no longer than that; a ring ends here too
		for _, r := range s.Roles {
			d := 1
			for _, c := range r.Callers {
				if s.Fleet[c] > 0 && c != r.Name {
					d = max(d, depth[c]+1)
				}
			}
			if !r.Edge {
				d = max(d, 2)
			}
			depth[r.Name] = min(d, len(s.Roles))
		}
	}
	var all []Role
	for _, r := range s.Roles {
		if s.Fleet[r.Name] > 0 {
			all = append(all, Role{r.Name, r.Doc, depth[r.Name]})
		}
	}
	return all
}

// role is the role that a host is named after.
func role(host string) string {
	if i := strings.LastIndexByte(host, '-'); i > 0 {
		return host[:i]
	}
	return host
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
