package sim

import (
	"strings"
	"time"

	"example.com/app/sim/fault"
	"example.com/app/sim/load"
	"example.com/app/sim/twin"
)

// A Report is what happened in a run.
type Report struct {
	Scenario   string        `json:"scenario"`
	Seed       uint64        `json:"seed"`
	Runtime    uint64        `json:"runtime,omitempty"`
	Exact      bool          `json:"exact"` // the same seed gives the same hash
	Hash       string        `json:"hash"`  // of the trace
	Events     int           `json:"events"`
	Requests   int           `json:"requests"`
	Failed     int           `json:"failed"`
	FirstLost  string        `json:"first_lost,omitempty"`
	Faults     []fault.Fault `json:"faults"`
	Violations []Violation   `json:"violations,omitempty"`
	Virtual    time.Duration `json:"virtual"` // time that passed in the fleet
	Up         time.Duration `json:"up"`      // how long the fleet took to start
	Rows       []Row         `json:"rows"`
}

// A Row is what one host answered, or what the users got.
type Row struct {
	Host    string        `json:"host"`
	Calls   int           `json:"calls"`
	Failed  int           `json:"failed"`
	P50     time.Duration `json:"p50"`
	P99     time.Duration `json:"p99"`
	Longest time.Duration `json:"longest"`
	Note    string        `json:"note,omitempty"` // what became of it
}

// Broken says whether an invariant did not hold.
func (r *Report) Broken() bool { return len(r.Violations) > 0 }

func (w *World) report(faults []fault.Fault) *Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &Report{
		Scenario: w.Scenario.Name, Seed: w.Seed, Runtime: w.options.Runtime, Exact: twin.Exact,
		Hash: w.Trace.Hash(), Events: w.Trace.Len(), Requests: w.Users.Calls(), Failed: w.Users.Failed(),
		Faults: faults, Violations: w.violations, Up: w.up,
	}
	if w.lost != nil {
		r.FirstLost = w.lost.Error()
	}
	for _, h := range w.hosts {
		r.Rows = append(r.Rows, row(h, w.tallies[h], strings.Join(w.notes[h], ", ")))
	}
	r.Rows = append(r.Rows, row(userHost, &w.Users, ""))
	return r
}

func row(host string, t *load.Tally, note string) Row {
	return Row{host, t.Calls(), t.Failed(), t.Quantile(0.5), t.Quantile(0.99), t.Longest(), note}
}
