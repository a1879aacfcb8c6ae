package state

import (
	"fmt"
	"time"

	"github.com/hashicorp/consul/api"
)

// A session may hold keys for as long as it is renewed.
type session struct {
	api.SessionEntry
	expiry *time.Timer // nil: it has no TTL
}

// lifetime is how long Consul keeps a session that is not renewed, in TTLs.
const lifetime = 2

// Open begins a session, which has everything but an id, and returns its id.
func (s *Store) Open(entry api.SessionEntry) (string, error) {
	ttl, err := validTTL(entry.TTL)
	if err != nil {
		return "", err
	}
	switch entry.Behavior {
	case "":
		entry.Behavior = api.SessionBehaviorRelease
	case api.SessionBehaviorRelease, api.SessionBehaviorDelete:
	default:
		return "", fmt.Errorf("Invalid Behavior setting '%s'", entry.Behavior) //nolint:staticcheck // Consul's own words
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	index := s.next()
	entry.ID = fmt.Sprintf("%08x-0000-4000-8000-%012x", s.made, index)
	entry.CreateIndex = index
	held := &session{SessionEntry: entry}
	if ttl > 0 {
		held.expiry = time.AfterFunc(lifetime*ttl, func() { s.Close(entry.ID) })
	}
	s.sessions[entry.ID] = held
	s.touched.sessions = index
	s.tell()
	return entry.ID, nil
}

// validTTL reads the TTL of a session, 0 if there is none.
func validTTL(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	const least, most = 10 * time.Second, 24 * time.Hour
	ttl, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("Session TTL '%s' invalid: %w", text, err) //nolint:staticcheck // Consul's own words
	}
	if ttl != 0 && (ttl < least || ttl > most) {
		return 0, fmt.Errorf("Invalid Session TTL '%d', must be between [%v=%v]", ttl, least, most) //nolint:staticcheck // Consul's own words
	}
	return ttl, nil
}

// Renew gives a session another TTL to live. It reports false for one that is
// over.
func (s *Store) Renew(id string) (*api.SessionEntry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.sessions[id]
	if held == nil {
		return nil, false
	}
	if ttl, err := time.ParseDuration(held.TTL); err == nil && held.expiry != nil {
		held.expiry.Reset(lifetime * ttl)
	}
	entry := held.SessionEntry
	return &entry, true
}

// Close ends a session: what it held is free, or deleted, as its behaviour
// says, and cannot be locked again for its lock delay. One that is over stays
// so.
func (s *Store) Close(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	over := s.sessions[id]
	if over == nil {
		return
	}
	if over.expiry != nil {
		over.expiry.Stop()
	}
	index := s.next()
	delete(s.sessions, id)
	s.touched.sessions = index
	for _, key := range sorted(s.keys) {
		kv := s.keys[key]
		if kv.Session != id {
			continue
		}
		s.delays[key] = time.Now().Add(over.LockDelay)
		if over.Behavior == api.SessionBehaviorDelete {
			s.bury(key, index)
			continue
		}
		free := *kv
		free.Session, free.ModifyIndex = "", index
		s.keys[key] = &free
		s.touched.keys = index
	}
	s.tell()
}

// Sessions returns the session with an id, or all for an empty one, by id.
func (s *Store) Sessions(id string) ([]*api.SessionEntry, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []*api.SessionEntry{}
	for _, each := range sorted(s.sessions) {
		if id == "" || id == each {
			entry := s.sessions[each].SessionEntry
			all = append(all, &entry)
		}
	}
	return all, s.touched.sessions
}
