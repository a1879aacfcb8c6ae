package fault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// A Schedule is a run that is worth repeating: a file in JSON. Unlike a seed it
// outlives changes of the program.
type Schedule struct {
	Scenario string         `json:"scenario"`
	Seed     uint64         `json:"seed"`              // of load, network and roles
	Runtime  uint64         `json:"runtime,omitempty"` // of goroutines, maps and keys; 0: the same as Seed
	Why      string         `json:"why,omitempty"`     // what it broke when it was kept
	Fleet    map[string]int `json:"fleet,omitempty"`   // instances by role; none: as the scenario says
	Faults   []Fault        `json:"faults"`
}

// maxSchedule limits the size of a schedule, in bytes.
const maxSchedule = 16 << 20

// Read reads a schedule. Fields it does not know are an error.
func Read(r io.Reader) (Schedule, error) {
	var s Schedule
	d := json.NewDecoder(io.LimitReader(r, maxSchedule))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("read the schedule: %w", err)
	}
	Sort(s.Faults)
	return s, nil
}

// Write writes a schedule.
func (s Schedule) Write(w io.Writer) error {
	if s.Faults == nil {
		s.Faults = []Fault{}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "\t")
	if err := e.Encode(s); err != nil {
		return fmt.Errorf("write the schedule: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Sort puts faults in the order in which they begin.
func Sort(faults []Fault) {
	slices.SortStableFunc(faults, func(a, b Fault) int {
		return int(min(1, max(-1, a.At-b.At)))
	})
}
