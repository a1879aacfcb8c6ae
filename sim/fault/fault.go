// Package fault says what goes wrong in a fleet, and when.
//
// A Fault is a plain value that prints itself as a sentence and is read back
// from it:
//
//	3s crash greeter-1 for 2s
//	12.5s partition gateway-1 <-> greeter for 5s
//	20s loss gateway -> greeter-2 0.2 for 3s
//	30s slow greeter-1 50ms for 10s
//	41s skew issuer-1 -5m0s for 10s
//
// What a fault does is up to who injects it.
package fault

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Fault goes wrong at a time, for a while. Faults may be compared with ==.
type Fault struct {
	At     time.Duration // after the load began
	Kind   Kind
	A, B   string        // where, or between where; empty where the kind has no place
	OneWay bool          // from A to B only
	Delay  time.Duration // of Slow, Latency, SlowCalls and Skew
	Amount float64       // share of Loss and of the faults of calls; count of Limit; bytes per second of Bandwidth
	For    time.Duration // until it is healed; 0: until all is
}

// String is the fault as a sentence that Parse reads.
func (f Fault) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %s", f.At, f.Kind)
	if f.A != "" {
		b.WriteString(" " + f.A)
	}
	if f.B != "" {
		b.WriteString(arrow(f.OneWay) + f.B)
	}
	t, _ := f.Kind.trait()
	switch t.amount {
	case delay, offset:
		fmt.Fprintf(&b, " %v", f.Delay)
	case share, count:
		b.WriteString(" " + strconv.FormatFloat(f.Amount, 'g', -1, 64))
	case none:
	}
	if f.For != 0 {
		fmt.Fprintf(&b, " for %v", f.For)
	}
	return b.String()
}

func arrow(oneWay bool) string {
	if oneWay {
		return " -> "
	}
	return " <-> "
}

// Parse reads a sentence as String writes it.
func Parse(text string) (Fault, error) {
	f, err := parse(strings.Fields(text))
	if err == nil {
		err = f.Check()
	}
	if err != nil {
		return Fault{}, fmt.Errorf("read the fault %q: %w", text, err)
	}
	return f, nil
}

func parse(words []string) (f Fault, err error) {
	if len(words) < 2 {
		return f, fmt.Errorf("want a time and what goes wrong, as in %q", "3s crash greeter-1 for 2s")
	}
	if f.At, err = time.ParseDuration(words[0]); err != nil {
		return f, err
	}
	f.Kind, words = Kind(words[1]), words[2:]
	t, ok := f.Kind.trait()
	if !ok {
		return f, fmt.Errorf("there is no fault %q; there are %s", f.Kind, kindNames())
	}
	next := func() string {
		if len(words) == 0 || words[0] == "for" {
			return ""
		}
		word := words[0]
		words = words[1:]
		return word
	}
	if t.places >= one {
		f.A = next()
	}
	if t.places == two {
		switch next() {
		case "<->":
		case "->":
			f.OneWay = true
		default:
			return f, fmt.Errorf("want two places, as in %q", "gateway-1 <-> greeter")
		}
		f.B = next()
	}
	switch t.amount {
	case delay, offset:
		f.Delay, err = time.ParseDuration(next())
	case share, count:
		f.Amount, err = strconv.ParseFloat(next(), 64)
	case none:
	}
	if err != nil {
		return f, err
	}
	if len(words) == 2 && words[0] == "for" {
		f.For, err = time.ParseDuration(words[1])
		words = nil
	}
	if err == nil && len(words) > 0 {
		err = fmt.Errorf("there is too much: %q", strings.Join(words, " "))
	}
	return f, err
}

// Check says what is wrong with a fault; nil: nothing.
func (f Fault) Check() error {
	t, ok := f.Kind.trait()
	switch {
	case !ok:
		return fmt.Errorf("there is no fault %q; there are %s", f.Kind, kindNames())
	case f.At < 0 || f.For < 0:
		return fmt.Errorf("%s: times are 0s or more", f.Kind)
	case t.once && f.For != 0:
		return fmt.Errorf("%s is over at once: leave out how long it lasts", f.Kind)
	case t.places >= one && !place(f.A), t.places == two && !place(f.B):
		return fmt.Errorf("%s: want a place: a host (greeter-2), a role (greeter), a zone (zone:eu) or *", f.Kind)
	case t.places < one && f.A != "", t.places < two && (f.B != "" || f.OneWay):
		return fmt.Errorf("%s has %d places", f.Kind, t.places)
	case t.amount == delay && f.Delay <= 0:
		return fmt.Errorf("%s: the delay must be above 0s", f.Kind)
	case t.amount == offset && f.Delay == 0:
		return fmt.Errorf("%s: want by how much, as in -5m", f.Kind)
	case t.amount == share && !(f.Amount > 0 && f.Amount <= 1):
		return fmt.Errorf("%s: the share must be above 0 and at most 1", f.Kind)
	case t.amount == count && !(f.Amount >= 1 && f.Amount <= 1e12):
		return fmt.Errorf("%s: the number must be 1 or more", f.Kind)
	case t.amount != delay && t.amount != offset && f.Delay != 0, t.amount != share && t.amount != count && f.Amount != 0:
		return fmt.Errorf("%s has no such amount", f.Kind)
	}
	return nil
}

// place says whether a text may name a place.
func place(s string) bool {
	return s != "" && !strings.ContainsAny(s, " \t\n\r\v\f<>\u0085\u00a0") && s != "for"
}

// End is when the fault is healed; the second result is false where it lasts
// until all is, or is over at once.
func (f Fault) End() (time.Duration, bool) { return f.At + f.For, f.For > 0 }

// MarshalText implements encoding.TextMarshaler.
func (f Fault) MarshalText() ([]byte, error) { return []byte(f.String()), f.Check() }

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *Fault) UnmarshalText(text []byte) (err error) {
	*f, err = Parse(string(text))
	return err
}
