package resilience

import "example.com/app/platform/errs"

// A Priority says which calls go first where there are too many. The zero value
// is that of calls of which nothing is said.
type Priority int

const (
	// Sheddable calls are refused first: nobody waits for them.
	Sheddable Priority = iota - 1
	// Default is everything else.
	Default
	// Critical calls are refused last.
	Critical
)

// ParsePriority reads critical, default or sheddable.
func ParsePriority(s string) (Priority, error) {
	for p := Sheddable; p <= Critical; p++ {
		if s == p.String() {
			return p, nil
		}
	}
	return Default, errs.Invalid.New("priority %q: want critical, default or sheddable", s)
}

// String is p as ParsePriority reads it.
func (p Priority) String() string {
	switch {
	case p < Default:
		return "sheddable"
	case p > Default:
		return "critical"
	default:
		return "default"
	}
}
