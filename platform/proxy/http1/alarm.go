package http1

import "time"

// An Alarm calls a function after a while, unless it is stopped before. It can
// be set again and again, and belongs to one goroutine at a time.
type Alarm struct {
	ring  func()
	timer *time.Timer
	set   bool
	rung  bool // also when the call has only begun
}

// NewAlarm returns an alarm that is not set.
func NewAlarm(ring func()) *Alarm { return &Alarm{ring: ring} }

// Set lets it ring after d, which is above 0.
func (a *Alarm) Set(d time.Duration) {
	a.set = true
	if a.timer == nil {
		a.timer = time.AfterFunc(d, a.ring)
		return
	}
	a.timer.Reset(d)
}

// Stop keeps it from ringing, and reports whether it never has.
func (a *Alarm) Stop() bool {
	if a.set && !a.timer.Stop() {
		a.rung = true
	}
	a.set = false
	return !a.rung
}
