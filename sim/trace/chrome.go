package trace

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"
)

// A mark is an event of the Trace Event Format, which ui.perfetto.dev and
// chrome://tracing read.
type mark struct {
	Name string         `json:"name"`
	Ph   string         `json:"ph"`
	Cat  string         `json:"cat,omitempty"`
	ID   string         `json:"id,omitempty"`
	Pid  int            `json:"pid"`
	Tid  int            `json:"tid"`
	Ts   float64        `json:"ts"` // µs
	Dur  *float64       `json:"dur,omitempty"`
	S    string         `json:"s,omitempty"`
	BP   string         `json:"bp,omitempty"`
	Args map[string]any `json:"args,omitempty"`
}

// WriteChrome writes the events for ui.perfetto.dev: a process for each host,
// its calls on as many tracks as overlap, arrows along each request, a track of
// faults, and counters of what is in flight and what has failed.
func WriteChrome(w io.Writer, events []Event, meta Meta) error {
	c := &chrome{w: bufio.NewWriter(w), pids: map[string]int{}, lanes: map[string]*lanes{}}
	c.text("{\"displayTimeUnit\":\"ms\",\"otherData\":")
	c.value(meta)
	c.text(",\"traceEvents\":[\n")
	c.hosts(events)
	var calls []Event
	for _, e := range events {
		switch e.Kind {
		case Call, Request:
			calls = append(calls, e)
		default:
			c.instant(e)
		}
	}
	slices.SortStableFunc(calls, func(a, b Event) int {
		if c := cmp.Compare(a.At-a.Took, b.At-b.Took); c != 0 {
			return c
		}
		return cmp.Compare(rank(a), rank(b)) // an arrow begins at the user, also where nothing takes time
	})
	for _, e := range calls {
		c.call(e)
	}
	c.counters(calls)
	c.text("\n]}\n")
	if err := c.w.Flush(); err != nil {
		return fmt.Errorf("write the trace: %w", err)
	}
	return nil
}

// rank puts what a user asked before what came of it.
func rank(e Event) int {
	if e.Kind == Request {
		return 0
	}
	return 1
}

// faultsPid is the process that faults are shown in.
const faultsPid = 1

type chrome struct {
	w     *bufio.Writer
	wrote bool
	pids  map[string]int
	lanes map[string]*lanes // by host
}

func (c *chrome) text(s string) { _, _ = c.w.WriteString(s) } // Flush tells

func (c *chrome) value(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // it is made of texts and numbers
	}
	_, _ = c.w.Write(b)
}

func (c *chrome) add(m mark) {
	if c.wrote {
		c.text(",\n")
	}
	c.wrote = true
	c.value(m)
}

// hosts names a process for each host.
func (c *chrome) hosts(events []Event) {
	c.add(mark{Name: "process_name", Ph: "M", Pid: faultsPid, Args: map[string]any{"name": "faults"}})
	for i, h := range Hosts(events) {
		c.pids[h] = faultsPid + 1 + i
		c.lanes[h] = &lanes{}
		c.add(mark{Name: "process_name", Ph: "M", Pid: c.pids[h], Args: map[string]any{"name": h}})
		c.add(mark{Name: "process_sort_index", Ph: "M", Pid: c.pids[h], Args: map[string]any{"sort_index": i + 1}})
	}
}

// Hosts lists the hosts of events: users first, then as they are named.
func Hosts(events []Event) []string {
	seen := map[string]bool{}
	var all []string
	for _, e := range events {
		if e.Kind != Fault && e.Kind != Heal && e.Host != "" && !seen[e.Host] {
			seen[e.Host] = true
			all = append(all, e.Host)
		}
	}
	slices.SortFunc(all, func(a, b string) int {
		if (a == user) != (b == user) {
			if a == user {
				return -1
			}
			return 1
		}
		return natural(a, b)
	})
	return all
}

// user is the host of requests.
const user = "user"

// natural puts greeter-2 before greeter-10.
func natural(a, b string) int {
	ra, na := number(a)
	rb, nb := number(b)
	if ra != rb {
		if ra < rb {
			return -1
		}
		return 1
	}
	return na - nb
}

func number(host string) (string, int) {
	i := len(host)
	for i > 0 && host[i-1] >= '0' && host[i-1] <= '9' {
		i--
	}
	n, _ := strconv.Atoi(host[i:])
	return host[:i], n
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func (c *chrome) instant(e Event) {
	args := map[string]any{"detail": e.Detail}
	if e.ID != "" {
		args["id"] = e.ID
	}
	switch e.Kind {
	case Fault:
		took := micros(max(e.Took, 10*time.Millisecond)) // else nobody would see it
		c.add(mark{Name: e.Name, Ph: "X", Cat: "fault", Pid: faultsPid, Tid: 1 + c.lane("faults", e.At, e.At+max(e.Took, 10*time.Millisecond)), Ts: micros(e.At), Dur: &took, Args: args})
	case Violation:
		c.add(mark{Name: "VIOLATION " + e.Name, Ph: "i", Cat: "violation", S: "g", Pid: faultsPid, Tid: 1, Ts: micros(e.At), Args: args})
	case Count:
		if math.IsNaN(e.Value) || math.IsInf(e.Value, 0) {
			return // JSON has no such numbers (RFC 8259, section 6)
		}
		c.add(mark{Name: e.Name, Ph: "C", Pid: max(faultsPid, c.pids[e.Host]), Ts: micros(e.At), Args: map[string]any{"value": e.Value}})
	default:
		c.add(mark{Name: string(e.Kind) + " " + e.Name, Ph: "i", Cat: string(e.Kind), S: "p", Pid: max(faultsPid, c.pids[e.Host]), Tid: 0, Ts: micros(e.At), Args: args})
	}
}

// lane is a track on which nothing else happens meanwhile.
func (c *chrome) lane(host string, from, to time.Duration) int {
	l := c.lanes[host]
	if l == nil {
		l = &lanes{}
		c.lanes[host] = l
	}
	return l.take(from, to)
}

func (c *chrome) call(e Event) {
	from, took := e.At-e.Took, micros(e.Took)
	m := mark{
		Name: e.Name, Ph: "X", Cat: string(e.Kind), Pid: c.pids[e.Host], Tid: 1 + c.lane(e.Host, from, e.At), Ts: micros(from), Dur: &took,
		Args: map[string]any{"outcome": e.Detail, "id": e.ID, "from": e.Peer},
	}
	c.add(m)
	if e.ID == "" {
		return
	}
	step := "t" // the arrow goes on
	if e.Kind == Request {
		step = "s"
	}
	c.add(mark{Name: "request", Ph: step, Cat: "flow", ID: e.ID, BP: "e", Pid: m.Pid, Tid: m.Tid, Ts: m.Ts})
}

// counters counts what users wait for, and what failed them.
func (c *chrome) counters(calls []Event) {
	type step struct {
		at             time.Duration
		flight, failed int
	}
	var steps []step
	for _, e := range calls {
		if e.Kind != Request {
			continue
		}
		end := step{at: e.At, flight: -1}
		if e.Detail != "OK" {
			end.failed = 1
		}
		steps = append(steps, step{at: e.At - e.Took, flight: 1}, end)
	}
	slices.SortStableFunc(steps, func(a, b step) int { return int(max(-1, min(1, a.at-b.at))) })
	flight, failed := 0, 0
	for _, s := range steps {
		flight += s.flight
		failed += s.failed
		c.add(mark{Name: "requests", Ph: "C", Pid: max(faultsPid, c.pids[user]), Ts: micros(s.at), Args: map[string]any{"in flight": flight, "failed": failed}})
	}
}

// lanes are tracks, each busy until a time.
type lanes []time.Duration

// take finds the first track that is free.
func (l *lanes) take(from, to time.Duration) int {
	for i, busy := range *l {
		if busy <= from {
			(*l)[i] = to
			return i
		}
	}
	*l = append(*l, to)
	return len(*l) - 1
}
