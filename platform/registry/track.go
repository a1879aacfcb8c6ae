package registry

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"sync"
	"time"
)

// The states of what a process believes of a role.
const (
	Unknown        = "unknown"         // nothing has been heard yet
	Fresh          = "fresh"           // the set is what the registry says
	Stale          = "stale"           // the registry cannot be asked: the set is the last one known
	Panic          = "panic"           // nobody is healthy, and all are yielded rather than none
	EmptyPending   = "empty-pending"   // the registry says that there is nobody, and is doubted for a while
	EmptyConfirmed = "empty-confirmed" // there is nobody
)

// A Status is what a process believes of a role that it watches, for people to
// look at.
type Status struct {
	Role      string
	State     string        // Unknown, Fresh, …
	Instances int           // in the set that Watch yielded last
	Index     uint64        // of the registry, when it was asked last; 0: it has none
	Age       time.Duration // since the registry last confirmed the set; 0 while unknown
	Err       error         // why the registry cannot be asked; nil: it can
}

// A Reporter is a registry that tells what it believes, sorted by role.
type Reporter interface{ Status() []Status }

// Track returns a view of r that is a Reporter: r itself where it is one. Age
// is then the time since the last news: a registry that pushes has nothing to
// confirm in between.
func Track(r Registry) Registry {
	if _, ok := r.(Reporter); ok {
		return r
	}
	return &tracked{Registry: r, roles: make(map[string]*belief)}
}

type tracked struct {
	Registry

	mu    sync.Mutex
	roles map[string]*belief
}

// A belief is the newest that any Watch of a role has yielded.
type belief struct {
	watches int
	known   bool
	count   int
	at      time.Time
	err     error
}

// Watch implements Registry.
func (t *tracked) Watch(ctx context.Context, role string) iter.Seq2[[]Instance, error] {
	return func(yield func([]Instance, error) bool) {
		t.enter(role, 1)
		defer t.enter(role, -1)
		for set, err := range t.Registry.Watch(ctx, role) {
			t.note(role, len(set), err)
			if !yield(set, err) {
				return
			}
		}
	}
}

// enter counts the watches of a role, so that one that nobody watches any more
// is forgotten.
func (t *tracked) enter(role string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.roles[role]
	if b == nil {
		b = new(belief)
		t.roles[role] = b
	}
	if b.watches += n; b.watches == 0 {
		delete(t.roles, role)
	}
}

func (t *tracked) note(role string, count int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.roles[role]
	if b.err = err; err == nil {
		b.known, b.count, b.at = true, count, time.Now()
	}
}

// Status implements Reporter.
func (t *tracked) Status() []Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Status, 0, len(t.roles))
	for role, b := range t.roles {
		s := Status{Role: role, State: Unknown, Instances: b.count, Err: b.err}
		if b.known {
			s.Age = time.Since(b.at)
			switch {
			case b.err != nil:
				s.State = Stale
			case b.count == 0:
				s.State = EmptyConfirmed
			default:
				s.State = Fresh
			}
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Status) int { return cmp.Compare(a.Role, b.Role) })
	return all
}
