// Package intention says which workload may call which.
//
// An intention is a rule between two roles, as Consul has it. The one rule of
// this package is that the most exact intention wins, whatever it says, and
// that silence is no answer: who asks decides what it stands for.
package intention

import (
	"context"
	"iter"
	"slices"
	"strings"

	"example.com/app/platform/errs"
)

// Any stands for every role.
const Any = "*"

// An Action is what a rule says. The zero value denies.
type Action uint8

// The actions.
const (
	Deny Action = iota
	Allow
)

// String is the action in Consul's word.
func (a Action) String() string {
	if a == Allow {
		return "allow"
	}
	return "deny"
}

// A Rule says whether Source may call Destination. Each is a role or Any.
type Rule struct {
	Source      string
	Destination string
	Action      Action
}

// String is the rule as people write it, as in "gateway => greeter (allow)".
func (r Rule) String() string {
	return r.Source + " => " + r.Destination + " (" + r.Action.String() + ")"
}

// bears reports whether the rule speaks of a call.
func (r Rule) bears(source, destination string) bool {
	return (r.Source == source || r.Source == Any) && (r.Destination == destination || r.Destination == Any)
}

// precedence is how exact the rule is, in Consul's numbers: the destination
// counts for more than the source.
func (r Rule) precedence() int {
	switch {
	case r.Source != Any && r.Destination != Any:
		return 9
	case r.Destination != Any:
		return 8
	case r.Source != Any:
		return 6
	}
	return 5
}

// A Verdict is what a table says of a call. The zero value is that it says
// nothing.
type Verdict uint8

// The verdicts.
const (
	Unsaid Verdict = iota
	Denied
	Allowed
)

// String is the verdict as a word.
func (v Verdict) String() string { return [...]string{"unsaid", "denied", "allowed"}[v] }

// A Table is a set of rules, in any order. It is shared and must not be
// changed.
type Table []Rule

// Decide says whether source may call destination. The most exact rule decides:
// an exact destination goes before an exact source, and both before "*". Of two
// that are equally exact the one that denies does. A source without a name is
// no workload and is denied.
func (t Table) Decide(source, destination string) Verdict {
	if source == "" || source == Any {
		return Denied
	}
	verdict, best := Unsaid, 0
	for _, r := range t {
		p := r.precedence()
		if p < best || !r.bears(source, destination) {
			continue
		}
		if r.Action != Allow {
			verdict = Denied
		} else if p > best {
			verdict = Allowed
		}
		best = p
	}
	return verdict
}

// For returns the rules that speak of calls to a destination.
func (t Table) For(destination string) Table {
	part := Table{}
	for _, r := range t {
		if r.bears(r.Source, destination) {
			part = append(part, r)
		}
	}
	return part
}

// Check says what is wrong with the rules: an error of kind errs.Invalid for
// one without a name, or with a "*" inside a name, which would look as if it
// did something.
func (t Table) Check() error {
	for _, r := range t {
		for _, name := range []string{r.Source, r.Destination} {
			if name == "" || name != Any && strings.Contains(name, Any) {
				return errs.Invalid.New("intention %s: %q is no role: want the name of one, or * for all", r, name)
			}
		}
	}
	return nil
}

// Equal reports whether two tables have the same rules in the same order.
func (t Table) Equal(o Table) bool { return slices.Equal(t, o) }

// Rules is where intentions are kept.
type Rules interface {
	// Watch yields the rules that speak of calls to a destination, all of them
	// each time: first as soon as they are known, then after every change,
	// until ctx ends or the loop is left. A table may be empty: nothing is
	// said.
	//
	// An error means that the rules can't be read just now: those yielded last
	// stay as true as they were, and Watch goes on trying. Watch may be called
	// from many goroutines.
	Watch(ctx context.Context, destination string) iter.Seq2[Table, error]
}
