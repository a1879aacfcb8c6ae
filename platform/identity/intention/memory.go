package intention

import (
	"context"
	"iter"
	"slices"
	"sync"
)

// Memory keeps the intentions of a system that lives in one process. The zero
// value says nothing. It must not be copied; its methods may be called from
// many goroutines.
type Memory struct {
	mu      sync.Mutex
	table   Table         // never written to
	changed chan struct{} // closed at the next change; nil: nobody waits
}

// NewMemory returns rules with a table. An error is that of Table.Check.
func NewMemory(t Table) (*Memory, error) {
	m := &Memory{}
	return m, m.Set(t)
}

// Set replaces the table. It is copied. An error is that of Table.Check, and
// leaves the table as it was.
func (m *Memory) Set(t Table) error {
	if err := t.Check(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.table = slices.Clone(t)
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
	return nil
}

// look returns the table, and a channel that is closed when it has changed.
func (m *Memory) look() (Table, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.changed == nil {
		m.changed = make(chan struct{})
	}
	return m.table, m.changed
}

// Watch implements Rules. It yields no errors: memory can always be asked.
func (m *Memory) Watch(ctx context.Context, destination string) iter.Seq2[Table, error] {
	return func(yield func(Table, error) bool) {
		var last Table
		for first := true; ctx.Err() == nil; first = false {
			table, changed := m.look()
			part := table.For(destination)
			if (first || !part.Equal(last)) && !yield(part, nil) {
				return
			}
			last = part
			select {
			case <-ctx.Done():
			case <-changed:
			}
		}
	}
}
