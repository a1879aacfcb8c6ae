package oauth

import (
	"sync"
	"time"

	"example.com/app/platform/errs"
)

// A Kind is what a record is of. Each has room of its own, so that whoever
// floods one does not push out the others.
type Kind string

// The kinds of records.
const (
	Codes    Kind = "authorization code"
	Families Kind = "refresh token" // one record for all that descend from one grant
	Devices  Kind = "device code"
	Typed    Kind = "user code" // Of names the record in Devices
	Sessions Kind = "session"   // of a browser
	Consents Kind = "consent"   // to a client, while the session lasts
	Revoked  Kind = "revoked"   // ids of tokens, and of families
)

// A State is how far a grant has come.
type State int

// The states of a record.
const (
	Pending State = iota
	Approved
	Refused
	Used
)

// A Record is what the server remembers of a grant or of a session. Which
// fields are set depends on the kind.
type Record struct {
	Client, Subject     string
	Scopes, Resources   []string
	Redirect, Challenge string // of an authorization code
	Nonce               string
	AuthTime            time.Time // when the person logged in
	Login               string    // a hash of what the person logged in with
	Family              string    // tokens that are revoked together
	Generation          uint64    // of the refresh token that is good
	State               State
	Interval            time.Duration // a device waits so long between questions
	Polled              time.Time     // when it asked last
	Deadline            time.Time     // of a device; its record stays longer, to say so
	Of                  string
	Expires             time.Time
}

// A Store keeps records until they expire; an expired one is not found. Keys are
// hashes: what a store holds is of no use to a thief. Methods may be called from
// many goroutines, and do not block.
type Store interface {
	// Put adds a record, or replaces it: errs.Exhausted where there is no room.
	Put(kind Kind, key string, r Record) error

	// Edit changes a record while nobody else does: errs.NotFound where there is
	// none. Where edit returns an error, so does Edit, and nothing changes. What
	// edit gets shares its lists with the store: they are replaced, never changed.
	Edit(kind Kind, key string, edit func(*Record) error) error

	// Delete removes a record, if it is there.
	Delete(kind Kind, key string)
}

// Memory is a store in memory, bounded, for one instance: what it holds is gone
// with the process.
type Memory struct {
	now  func() time.Time
	most int // records of a kind

	mu    sync.Mutex
	swept time.Time
	kinds map[Kind]map[string]Record
}

// NewMemory makes an empty store for most records of each kind.
func NewMemory(now func() time.Time, most int) *Memory {
	return &Memory{now: now, most: most, kinds: make(map[Kind]map[string]Record)}
}

// Put adds a record.
func (m *Memory) Put(kind Kind, key string, r Record) error {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	records := m.kinds[kind]
	if records == nil {
		records = make(map[string]Record)
		m.kinds[kind] = records
	}
	if _, replaces := records[key]; !replaces && len(records) >= m.most {
		if now.Sub(m.swept) >= time.Second { // a flood must not have each of its requests look at all records
			m.sweep(now)
		}
		if len(records) >= m.most {
			return errs.Exhausted.New("there are %d of kind %s", m.most, kind)
		}
	}
	records[key] = r
	return nil
}

// Edit changes a record.
func (m *Memory) Edit(kind Kind, key string, edit func(*Record) error) error {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.kinds[kind][key]
	if !ok || !now.Before(r.Expires) {
		return errs.NotFound.New("no such %s", kind)
	}
	if err := edit(&r); err != nil {
		return err
	}
	m.kinds[kind][key] = r
	return nil
}

// Delete removes a record.
func (m *Memory) Delete(kind Kind, key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.kinds[kind], key)
}

// Sweep removes what has expired. Call it now and then.
func (m *Memory) Sweep() {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now)
}

func (m *Memory) sweep(now time.Time) {
	m.swept = now
	for _, records := range m.kinds {
		for key, r := range records {
			if !now.Before(r.Expires) {
				delete(records, key)
			}
		}
	}
}

// find returns a copy of a record.
func find(s Store, kind Kind, key string) (found Record, ok bool) {
	err := s.Edit(kind, key, func(r *Record) error { found = *r; return nil })
	return found, err == nil
}
