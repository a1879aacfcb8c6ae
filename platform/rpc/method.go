package rpc

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/app/platform/errs"
	"example.com/app/platform/resilience"
)

// Methods says how the calls of some methods are made and answered. A key is
// "/pkg.Service/Method", "/pkg.Service/" for all of a service, or "" for all.
// The most exact key alone counts.
type Methods map[string]MethodConfig

// A MethodConfig says how a method is called (the first four settings) and
// answered. Zero values are the defaults.
type MethodConfig struct {
	Timeout    time.Duration // of a unary call, at most; 0: the client's, where the call has none
	Attempts   int           // where the method is idempotent; 1: no retries; 0 means 4
	Hedge      Switch        // a second copy of a call that takes long; for methods without side effects
	HedgeAfter time.Duration // how long that is; 0: as the calls before went

	Priority resilience.Priority // of calls that name none
	Weight   int                 // places of the server's limit that a call takes; 0 means 1
}

// A Switch is on or off, or left as it is.
type Switch int

// The three states of a Switch.
const (
	Unset Switch = iota
	On
	Off
)

// String is "", "on" or "off".
func (s Switch) String() string { return [...]string{"", "on", "off"}[s] }

const (
	mostAttempts = 5 // gRPC's own bound
	mostWeight   = 1000
)

// of is the setting that counts for a method, as in "/pkg.Service/Method".
func (m Methods) of(method string) MethodConfig {
	if len(m) == 0 {
		return MethodConfig{}
	}
	if c, ok := m[method]; ok {
		return c
	}
	if c, ok := m[method[:strings.LastIndexByte(method, '/')+1]]; ok {
		return c
	}
	return m[""]
}

// ParseMethods reads settings as in
// "/greeter.v1.Greeter/SayHello:timeout=1s,hedge=off,priority=critical", and
// ":retry=off" for all methods.
func ParseMethods(settings []string) (Methods, error) {
	methods := make(Methods, len(settings))
	for _, text := range settings {
		key, rest, ok := strings.Cut(text, ":")
		if !ok || !methodKey.MatchString(key) {
			return nil, errs.Invalid.New("method %q: want /pkg.Service/Method:settings, /pkg.Service/:settings or :settings", text)
		}
		if _, twice := methods[key]; twice {
			return nil, errs.Invalid.New("method %q: it is set twice; put all of its settings behind one another", text)
		}
		c, err := parseMethod(rest)
		if err != nil {
			return nil, errs.Invalid.New("method %q: %w", text, err)
		}
		methods[key] = c
	}
	return methods, nil
}

var methodKey = regexp.MustCompile(`^(/[A-Za-z_][\w.]*/\w*)?$`)

func parseMethod(text string) (MethodConfig, error) {
	var c MethodConfig
	readers := c.readers()
	seen := make(map[string]bool)
	for part := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(part, "=")
		read, ok := readers[key]
		switch {
		case !ok:
			return c, errs.Invalid.New("unknown setting %q: there are %s", key, strings.Join(slices.Sorted(maps.Keys(readers)), ", "))
		case seen[key]:
			return c, errs.Invalid.New("%s is set twice", key)
		}
		seen[key] = true
		if why := read(value); why != "" {
			return c, errs.Invalid.New("%s=%s: want %s", key, value, why)
		}
	}
	return c, nil
}

// readers are what sets each setting. They return what they want instead, or
// nothing.
func (c *MethodConfig) readers() map[string]func(string) string {
	return map[string]func(string) string{
		"timeout": func(v string) string {
			return positive(v, &c.Timeout, "a time above 0s, as in 500ms")
		},
		"retry": func(v string) string {
			n, err := strconv.Atoi(v)
			switch {
			case v == Off.String():
				n = 1
			case err != nil || n < 2 || n > mostAttempts || strconv.Itoa(n) != v:
				return "off, or the number of attempts from 2 to 5"
			}
			c.Attempts = n
			return ""
		},
		"hedge": func(v string) string {
			switch v {
			case On.String():
				c.Hedge = On
			case Off.String():
				c.Hedge = Off
			default:
				c.Hedge = On
				return positive(v, &c.HedgeAfter, "on, off, or the time after which a copy is sent, as in 20ms")
			}
			return ""
		},
		"priority": func(v string) (why string) {
			var err error
			if c.Priority, err = resilience.ParsePriority(v); err != nil {
				why = "critical, default or sheddable"
			}
			return why
		},
		"weight": func(v string) string {
			n, err := strconv.Atoi(v)
			if err != nil || n < 1 || n > mostWeight || strconv.Itoa(n) != v {
				return "a number from 1 to 1000"
			}
			c.Weight = n
			return ""
		},
	}
}

func positive(v string, d *time.Duration, want string) string {
	var err error
	if *d, err = time.ParseDuration(v); err != nil || *d <= 0 {
		return want
	}
	return ""
}

// String prints c as ParseMethods reads it, behind the key.
func (c MethodConfig) String() string {
	var parts []string
	add := func(set bool, key, value string) {
		if set {
			parts = append(parts, key+"="+value)
		}
	}
	add(c.Timeout > 0, "timeout", c.Timeout.String())
	add(c.Attempts == 1, "retry", Off.String())
	add(c.Attempts > 1, "retry", strconv.Itoa(c.Attempts))
	add(c.HedgeAfter > 0, "hedge", c.HedgeAfter.String())
	add(c.HedgeAfter == 0 && c.Hedge != Unset, "hedge", c.Hedge.String())
	add(c.Priority != resilience.Default, "priority", c.Priority.String())
	add(c.Weight > 0, "weight", strconv.Itoa(c.Weight))
	return strings.Join(parts, ",")
}
