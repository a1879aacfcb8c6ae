// Package trace is what a simulation records, and how it is seen.
//
//	Trace          events, and the hash of all of them
//	WriteTimeline  a page of its own, for a browser
//	WriteChrome    for ui.perfetto.dev
//	WriteStory     the last moments, as text
//	WriteMermaid   the same, as a sequence diagram
//
// A trace is a list of lines, one for each event; two runs are the same where
// their lines are, down to the nanosecond.
package trace

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// An Event is one thing that happened in a fleet.
type Event struct {
	At     time.Duration // since the run began; of what took time, its end
	Took   time.Duration // how long it took; it began at At-Took
	Kind   Kind
	Host   string  // where: an instance as in "greeter-2", or "user"; empty: nowhere
	Peer   string  // who called it, where known
	Name   string  // request line, method, fact, fault, counter, invariant
	Detail string  // status code, key of a fact, what was violated
	ID     string  // of the user's request that it is part of: the same in all its calls
	Value  float64 // of a Count
}

// A Kind is what sort of event it is.
type Kind string

// The kinds of events.
const (
	Request   Kind = "request"   // of a user: it has been answered, or given up
	Call      Kind = "call"      // an instance has answered it
	Fact      Kind = "fact"      // a role has stated it
	Fault     Kind = "fault"     // it begins; Took is how long it shall last
	Heal      Kind = "heal"      // a fault has ended
	State     Kind = "state"     // an instance is up, down, or back
	Count     Kind = "count"     // the value of a counter
	Log       Kind = "log"       // a node has logged it
	Violation Kind = "violation" // an invariant did not hold
)

// Append adds the event's line to b, without its end. Whatever is in the event,
// it is one line.
func (e Event) Append(b []byte) []byte {
	b = append(seconds(b, e.At), 's')
	b = word(b, "", string(e.Kind))
	b = word(b, "", cmp.Or(e.Host, nobody))
	b = word(b, "<- ", e.Peer)
	b = word(b, "", e.Name)
	b = word(b, "", e.Detail)
	if e.Took != 0 {
		b = seconds(append(b, " +"...), e.Took)
		b = append(b, 's')
	}
	if e.Value != 0 {
		b = strconv.AppendFloat(append(b, " ="...), e.Value, 'g', -1, 64)
	}
	return word(b, "#", e.ID)
}

// nobody stands for no host, so that a name is not taken for one.
const nobody = "-"

// word adds a text with a mark in front of it, if there is any; quoted where it
// could be taken for something else.
func word(b []byte, mark, text string) []byte {
	if text == "" {
		return b
	}
	b = append(append(b, ' '), mark...)
	if plain(text) {
		return append(b, text...)
	}
	return strconv.AppendQuote(b, text)
}

// plain says whether a text can stand in a line as it is.
func plain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf || c == 0x7f {
			return false
		}
	}
	return text[0] != '#' && text[0] != '<' && text[0] != '+' && text[0] != '='
}

// seconds adds a duration in seconds, to the nanosecond.
func seconds(b []byte, d time.Duration) []byte {
	if d < 0 {
		b = append(b, '-')
		d = -d
	}
	b = append(strconv.AppendInt(b, int64(d/time.Second), 10), '.')
	rest := int64(d % time.Second)
	for unit := int64(time.Second / 10); unit > 0; unit /= 10 {
		b = append(b, byte('0'+rest/unit%10))
	}
	return b
}

// A Config says what a Trace keeps. The zero value is the default.
type Config struct {
	Limit int       // events that are kept, the last ones; 0 means 1,000,000
	Begin time.Time // when the run began; zero means when the trace is made
	Lines io.Writer // gets each line as it comes; nil: nobody does
}

// A Trace is what has happened so far. Its methods may be called from many
// goroutines.
type Trace struct {
	cfg Config

	mu     sync.Mutex
	hash   hash.Hash
	line   []byte
	count  int
	events []Event // the oldest of them at first, where there are more than Limit
	first  int
	err    error // of Lines
}

// New returns an empty trace.
func New(cfg Config) *Trace {
	if cfg.Limit <= 0 {
		cfg.Limit = 1_000_000
	}
	if cfg.Begin.IsZero() {
		cfg.Begin = time.Now()
	}
	return &Trace{cfg: cfg, hash: sha256.New()}
}

// Add adds an event, which happens now unless it says when.
func (t *Trace) Add(e Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.At == 0 {
		e.At = time.Since(t.cfg.Begin)
	}
	t.line = append(e.Append(t.line[:0]), '\n')
	_, _ = t.hash.Write(t.line) // a hash takes everything
	if t.cfg.Lines != nil && t.err == nil {
		_, t.err = t.cfg.Lines.Write(t.line)
	}
	t.count++
	if len(t.events) < t.cfg.Limit {
		t.events = append(t.events, e)
		return
	}
	t.events[t.first] = e
	t.first = (t.first + 1) % t.cfg.Limit
}

// Hash is the SHA-256 of all lines so far, in hex.
func (t *Trace) Hash() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return hex.EncodeToString(t.hash.Sum(nil))
}

// Len is the number of events so far, kept or not.
func (t *Trace) Len() int { t.mu.Lock(); defer t.mu.Unlock(); return t.count }

// Err is why lines could not be written; nil: they were.
func (t *Trace) Err() error { t.mu.Lock(); defer t.mu.Unlock(); return t.err }

// Events is those that are kept, in order.
func (t *Trace) Events() []Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Concat(t.events[t.first:], t.events[:t.first])
}

// Since is the events that are kept, but for the first n of all, and how many
// there have been.
func (t *Trace) Since(n int) (events []Event, next int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := max(n, t.count-len(t.events)); i < t.count; i++ {
		events = append(events, t.events[i%t.cfg.Limit])
	}
	return events, t.count
}

// Meta is what is known of a run beside its events.
type Meta struct {
	Scenario string
	Seed     uint64 `json:",string"` // a number of JavaScript would round it
	Hash     string
	Version  string // of the program
}

// maxLine limits a line that Diff reads, in bytes.
const maxLine = 1 << 20

// Diff finds the first line, counted from 1, in which two traces differ; 0:
// none. Where one of them has ended, its line is empty.
func Diff(a, b io.Reader) (line int, left, right string, err error) {
	one, two := bufio.NewScanner(a), bufio.NewScanner(b)
	one.Buffer(nil, maxLine)
	two.Buffer(nil, maxLine)
	for n := 1; ; n++ {
		more, other := one.Scan(), two.Scan()
		if err := errors.Join(one.Err(), two.Err()); err != nil {
			return 0, "", "", fmt.Errorf("compare traces: line %d: %w", n, err)
		}
		if !more && !other {
			return 0, "", "", nil
		}
		if more != other || !bytes.Equal(one.Bytes(), two.Bytes()) {
			return n, one.Text(), two.Text(), nil
		}
	}
}
