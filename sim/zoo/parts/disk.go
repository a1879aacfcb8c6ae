package parts

import "sync"

// A Row is a value on a disk.
type Row struct {
	Value   string
	Version int // counts the writes; 0: there is no such row
}

// A Disk outlives the instances that write to it, as a database does. It never
// fails. The zero value is empty; its methods may be called from many
// goroutines.
type Disk struct {
	mu   sync.Mutex
	rows map[string]Row
}

// Wipe empties the disk.
func (d *Disk) Wipe() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rows = nil
}

// Read returns the row of a key.
func (d *Disk) Read(key string) Row {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rows[key]
}

// Write puts a value in the row of a key, whatever was there, and returns the
// new row.
func (d *Disk) Write(key, value string) Row {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.write(key, value)
}

// Swap does what Write does, if the row has this version still: 0 where there
// must be none. It says whether it had.
func (d *Disk) Swap(key, value string, version int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rows[key].Version != version {
		return false
	}
	d.write(key, value)
	return true
}

// write is Write for who holds mu.
func (d *Disk) write(key, value string) Row {
	if d.rows == nil {
		d.rows = map[string]Row{}
	}
	row := Row{value, d.rows[key].Version + 1}
	d.rows[key] = row
	return row
}
