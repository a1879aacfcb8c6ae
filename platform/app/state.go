package app

import (
	"fmt"
	"sync"
)

// A phase is where an instance is in its life.
type phase string

const (
	phaseStarting phase = ""
	phaseWaiting  phase = "waiting"
	phaseServing  phase = "serving"
	phaseDraining phase = "draining"
	phaseStopping phase = "stopping"
	phaseGone     phase = "gone"
)

// A state is what an instance tells of itself.
type state struct {
	mu     sync.Mutex
	phase  phase
	reason error // why it is not ready, or what troubles it
	listed bool  // the registry has listed it at least once
}

func (s *state) set(p phase, reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase, s.reason = p, reason
}

// registered notes what became of the instance in the registry.
func (s *state) registered(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.listed = true
	}
	if s.phase != phaseServing {
		return
	}
	s.reason = err
	if err != nil {
		s.reason = fmt.Errorf("registry: %w", err)
	}
}

func (s *state) wasListed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listed
}

// ready says whether callers can find the instance and be answered, and what
// there is to know about it. A registry that goes away later does not make it
// unready: those who know it still reach it.
func (s *state) ready() (ok bool, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text = string(s.phase)
	if s.phase == phaseStarting {
		text = "starting"
	}
	if s.reason != nil {
		text += ": " + s.reason.Error()
	}
	return s.phase == phaseServing && s.listed, text
}
