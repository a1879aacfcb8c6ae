package registry

import (
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"example.com/app/platform/errs"
)

// Validate returns an error of kind errs.Invalid that names every field that
// keeps in from being listed, or nil. Every Register begins with it.
func (in Instance) Validate() error {
	e := errs.Invalid.New("instance %q of role %q at %q cannot be listed", in.ID, in.Role, in.Addr)
	sound := e
	if in.ID == "" {
		e = e.Field("id", "required", "an instance needs an id")
	}
	if in.Role == "" {
		e = e.Field("role", "required", "an instance needs a role")
	}
	if why := wrongAddr(in.Addr); why != "" {
		e = e.Field("addr", "address", "%s", why)
	}
	if in.Weight < 0 {
		e = e.Field("weight", "min", "a weight is not negative")
	}
	for _, key := range slices.Sorted(maps.Keys(in.Meta)) {
		if why := wrongMeta(key, in.Meta[key]); why != "" {
			e = e.Field("meta", "meta", "%q: %s", key, why)
		}
	}
	if len(in.Meta) > maxMeta {
		e = e.Field("meta", "max", "at most %d keys", maxMeta)
	}
	if e == sound {
		return nil
	}
	return e
}

// maxMeta leaves room for the fields of an instance among the 64 keys that
// Consul takes.
const maxMeta = 56

// wrongMeta says why not every registry can carry a key and its value; empty:
// each can. The limits are Consul's. A key with the name of a field would have
// to fight with it for one place.
func wrongMeta(key, value string) string {
	foreign := func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-')
	}
	switch {
	case key == "" || len(key) > 128 || strings.ContainsFunc(key, foreign):
		return "want 1 to 128 letters, digits, - and _"
	case len(value) > 512:
		return "a value is at most 512 bytes long"
	}
	switch key {
	case "role", "instance", "version", "zone", "weight", "started":
		return "use the field of the instance"
	}
	return ""
}

// wrongAddr says what keeps peers from dialling addr; empty: nothing. Port 0
// is wrong here: it means "any" to a listener and nothing to a caller.
func wrongAddr(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		return "want host:port"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "want a port from 1 to 65535"
	}
	return ""
}

// listed is the copy of in that a registry keeps: its own, tags sorted.
func listed(in Instance) Instance {
	in = in.Clone()
	slices.Sort(in.Tags)
	return in
}

// copies is a set that shares nothing with set.
func copies(set []Instance) []Instance {
	c := make([]Instance, len(set))
	for i, in := range set {
		c[i] = in.Clone()
	}
	return c
}

// A Fate passes on to Report what differs from what it told last, so that a
// registration that fails a thousand times alike is heard of once. The zero
// value has told nothing. It belongs to one goroutine.
type Fate struct {
	told bool
	last string
}

// Tell calls report, if there is one, when err is news: the first of all, or
// one that reads differently from the last.
func (f *Fate) Tell(report func(error), err error) {
	text := ""
	if err != nil {
		text = "not listed: " + err.Error()
	}
	if f.told && f.last == text {
		return
	}
	f.told, f.last = true, text
	if report != nil {
		report(err)
	}
}
