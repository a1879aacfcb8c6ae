package page

import (
	"slices"
	"strings"
	"time"

	"example.com/app/platform/balance/policy"
	"example.com/app/sim"
	"example.com/app/sim/fault"
	"example.com/app/sim/trace"
)

// past is how much the timeline shows.
const past = 3 * time.Minute

// broken is how many violations are shown, the first ones.
const broken = 5

// A Hello is what a page needs to begin.
type Hello struct {
	Scenario string   `json:"scenario"`
	Seed     uint64   `json:"seed"`
	Whole    float64  `json:"whole"` // seconds that the run takes
	Roles    []Role   `json:"roles"`
	Policies []string `json:"policies"`
	Points   []Point  `json:"points"` // the past
}

// A Role is where its instances stand: 1 is next to the users, a callee is
// behind its callers.
type Role struct {
	Name  string `json:"name"`
	Doc   string `json:"doc"`
	Layer int    `json:"layer"`
}

// A Snapshot is what a fleet does at a moment. Times are in seconds since the
// load began, durations in milliseconds, rates per second over the last three
// seconds.
type Snapshot struct {
	Number     int      `json:"number"`
	Time       float64  `json:"time"`
	Healed     bool     `json:"healed"`
	Rate       float64  `json:"rate"` // of the knob; 0: it can't be changed
	Balance    string   `json:"balance"`
	Point      Point    `json:"point"`
	Calls      int      `json:"calls"` // of users, ever
	Lost       int      `json:"lost"`
	Hosts      []Host   `json:"hosts"`
	Edges      []Edge   `json:"edges"`
	Faults     []Band   `json:"faults"`
	Violations []string `json:"violations"`
}

// A Point is what users got at a moment.
type Point struct {
	Number int     `json:"n"`
	Time   float64 `json:"t"`
	Rate   float64 `json:"rate"`
	Errors float64 `json:"errors"`
	P99    float64 `json:"p99"`
}

// A Host is an instance: up, starting, down, crashed, lost power, stopped, or
// what a fault makes of it: frozen, slow.
type Host struct {
	Name   string  `json:"name"`
	Role   string  `json:"role"`
	State  string  `json:"state"`
	Rate   float64 `json:"rate"`
	Errors float64 `json:"errors"`
	P99    float64 `json:"p99"`
	Flight int     `json:"flight"`
	Calls  int     `json:"calls"`
	Failed int     `json:"failed"`
}

// An Edge is what one host asks of another.
type Edge struct {
	From   string  `json:"from"`
	To     string  `json:"to"`
	Rate   float64 `json:"rate"`
	Errors float64 `json:"errors"`
}

// A Band is a fault on the timeline. One without an id is the scenario's.
type Band struct {
	ID   string  `json:"id,omitempty"`
	Text string  `json:"text"`
	A    string  `json:"a,omitempty"`
	B    string  `json:"b,omitempty"`
	Kind string  `json:"kind"`
	From float64 `json:"from"`
	To   float64 `json:"to,omitempty"`  // when it was healed; 0: it has not been
	Due  float64 `json:"due,omitempty"` // when it will be; 0: when all is
	name string  // on the trace
}

// A view is what is known of a world. It is used by one goroutine at a time.
type view struct {
	world  *sim.World
	number int
	cursor int // on the trace
	users  window
	hosts  map[string]*window
	edges  map[[2]string]*window
	state  map[string]string // by host, of those that are down
	bands  []Band
	broken []string
	points []Point
	every  time.Duration
}

func newView(w *sim.World, every time.Duration) *view {
	_, cursor := w.Trace.Since(w.Trace.Len())
	return &view{world: w, every: every, cursor: cursor, hosts: map[string]*window{}, edges: map[[2]string]*window{}, state: map[string]string{}}
}

func (v *view) hello(seen int) Hello {
	s := v.world.Scenario
	points := append([]Point{}, v.points...) // not nil: JSON would say null
	points = slices.DeleteFunc(points, func(p Point) bool { return p.Number <= seen && seen <= v.number })
	return Hello{s.Name, v.world.Seed, (s.Duration + s.Heal).Seconds(), layers(s), policy.Names(), points}
}

// look is what is so now, with what has happened since the last time.
func (v *view) look(injected map[string]injection) Snapshot {
	w := v.world
	events, cursor := w.Trace.Since(v.cursor)
	v.cursor = cursor
	now := w.Time()
	for _, e := range events {
		v.fold(e, now)
	}
	v.number++
	at := now.Seconds()
	u := v.users.close(v.every)
	p := Point{v.number, at, u.rate, u.errors, ms(u.p99)}
	v.points = append(v.points, p)
	v.points = slices.DeleteFunc(v.points, func(p Point) bool { return p.Time < at-past.Seconds() })
	v.bands = slices.DeleteFunc(v.bands, func(b Band) bool { return b.To > 0 && b.To < at-past.Seconds() })
	s := Snapshot{
		Number: v.number, Time: at, Healed: w.Healed(), Rate: w.Rate(), Balance: w.Balance(), Point: p,
		Calls: w.Users.Calls(), Lost: w.Users.Failed(), Faults: v.faults(injected), Violations: append([]string{}, v.broken...), Edges: v.flows(),
	}
	active, up := w.Active(), w.Fleet.Up()
	for _, h := range v.ordered() {
		t, q := w.Tally(h), v.window(h).close(v.every)
		s.Hosts = append(s.Hosts, Host{
			Name: h, Role: role(h), State: v.condition(h, up, active), Rate: q.rate, Errors: q.errors, P99: ms(q.p99),
			Flight: w.Fleet.InFlight(h), Calls: t.Calls(), Failed: t.Failed(),
		})
	}
	return s
}

// ordered is the hosts, those who call before whom they call.
func (v *view) ordered() []string {
	var all []string
	for _, r := range v.world.Scenario.Roles {
		for _, h := range v.world.Hosts() {
			if role(h) == r.Name {
				all = append(all, h)
			}
		}
	}
	return all
}

// fold takes one event in.
func (v *view) fold(e trace.Event, now time.Duration) {
	switch e.Kind {
	case trace.Request:
		v.users.add(e.Took, e.Detail == "OK")
	case trace.Call:
		ok := !lost(e.Detail)
		v.window(e.Host).add(e.Took, ok)
		v.edge(e.Peer, e.Host).add(e.Took, ok)
	case trace.State:
		v.state[e.Host] = e.Name
	case trace.Fault:
		f, err := fault.Parse(e.Name)
		if err != nil {
			return
		}
		b := Band{Text: plain(f), A: f.A, B: f.B, Kind: string(f.Kind), From: now.Seconds(), name: e.Name}
		if f.For > 0 {
			b.Due = b.From + f.For.Seconds()
		}
		if f.Kind.Once() {
			b.To = b.From + 0.5 // to be seen
		}
		v.bands = append(v.bands, b)
	case trace.Heal:
		if i := slices.IndexFunc(v.bands, func(b Band) bool { return b.name == e.Name && b.To == 0 }); i >= 0 {
			v.bands[i].To = now.Seconds()
		}
	case trace.Violation:
		if len(v.broken) < broken {
			v.broken = append(v.broken, e.Name+": "+e.Detail)
		}
	case trace.Fact, trace.Count, trace.Log:
	}
}

// lost says whether a code is one that its caller is not to blame for.
func lost(code string) bool {
	return slices.Contains([]string{"Unknown", "Internal", "DataLoss", "Unavailable", "DeadlineExceeded", "ResourceExhausted"}, code)
}

// plain is a fault without its times.
func plain(f fault.Fault) string {
	f.At, f.For = 0, 0
	return strings.TrimPrefix(f.String(), "0s ")
}

// faults are the bands, with the ids of those that were injected here.
func (v *view) faults(injected map[string]injection) []Band {
	all := append([]Band{}, v.bands...)
	for id, i := range injected {
		name := i.fault.String()
		if n := slices.IndexFunc(all, func(b Band) bool { return b.name == name }); n >= 0 {
			all[n].ID = id
		}
	}
	return all
}

// condition is the state of a host in a word.
func (v *view) condition(host string, up []string, active []fault.Fault) string {
	switch {
	case !slices.Contains(up, host):
		if s := v.state[host]; s == "crashed" || s == "lost power" || s == "stopped" {
			return s
		}
		return "down"
	case !v.world.Fleet.Started(host):
		return "starting"
	}
	state := "up"
	for _, f := range active {
		if f.A != host && f.A != role(host) && f.A != "*" {
			continue
		}
		switch f.Kind {
		case fault.Pause:
			return "frozen"
		case fault.Slow, fault.SlowCalls:
			state = "slow"
		default:
		}
	}
	return state
}
