package registry

import (
	"slices"
	"strings"

	"example.com/app/platform/errs"
)

// A Selector says which instances of a role a client wants. The zero value
// wants all.
type Selector struct {
	Tags     []string // all of them
	Zones    []string // one of them; none: any
	Versions []string // one of them; none: any
}

// Matches reports whether an instance is wanted.
func (s Selector) Matches(in Instance) bool {
	for _, tag := range s.Tags {
		if !slices.Contains(in.Tags, tag) {
			return false
		}
	}
	return oneOf(s.Zones, in.Zone) && oneOf(s.Versions, in.Version)
}

func oneOf(wanted []string, have string) bool {
	return len(wanted) == 0 || slices.Contains(wanted, have)
}

// Select returns a view of r whose Watch yields only the instances that s
// wants; Register is that of r. An empty set may mean that none of those that
// are up is wanted.
func Select(r Registry, s Selector) Registry {
	s.Tags, s.Zones, s.Versions = slices.Clone(s.Tags), slices.Clone(s.Zones), slices.Clone(s.Versions)
	return Part(r, func(_ string, set []Instance) []Instance {
		return slices.DeleteFunc(set, func(in Instance) bool { return !s.Matches(in) })
	})
}

// ParseSelector reads "tag:canary,version:v2,zone:eu-1". Each may be repeated:
// all tags are wanted, and one of the versions and of the zones.
func ParseSelector(text string) (Selector, error) {
	var s Selector
	for part := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(part), ":")
		switch {
		case !ok || value == "":
			return Selector{}, errs.Invalid.New("selector %q: want key:value, as in tag:canary,version:v2,zone:eu-1", text)
		case key == "tag":
			s.Tags = append(s.Tags, value)
		case key == "version":
			s.Versions = append(s.Versions, value)
		case key == "zone":
			s.Zones = append(s.Zones, value)
		default:
			return Selector{}, errs.Invalid.New("selector %q: there is no %q; the keys are tag, version and zone", text, key)
		}
	}
	return s, nil
}
