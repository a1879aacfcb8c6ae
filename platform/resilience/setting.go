package resilience

import (
	"strconv"
	"strings"
	"time"

	"example.com/app/platform/errs"
)

// ParseLimit reads a LimitConfig from "max=64,queue=32,wait=50ms" and the like,
// or "off". What is left out has its default.
func ParseLimit(s string) (LimitConfig, error) {
	if s == "off" {
		return LimitConfig{Off: true}, nil
	}
	var c LimitConfig
	for part := range strings.SplitSeq(s, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		ok := false
		switch key {
		case "initial":
			ok = number(value, &c.Initial)
		case "min":
			ok = number(value, &c.Min)
		case "max":
			ok = number(value, &c.Max)
		case "queue":
			ok = number(value, &c.Queue)
			if value == "0" {
				c.Queue, ok = -1, true
			}
		case "wait":
			ok = duration(value, &c.Wait)
		case "slack":
			ok = duration(value, &c.Slack)
		}
		if !ok {
			return LimitConfig{}, errs.Invalid.New("limit %q: want off, or some of min, max, initial, queue, wait, slack, as in max=64,queue=32,wait=50ms", s)
		}
	}
	if c.Max > 0 && c.Min > c.Max {
		return LimitConfig{}, errs.Invalid.New("limit %q: min is above max", s)
	}
	return c, nil
}

const mostCalls = 1_000_000

func number(s string, n *int) bool {
	var err error
	*n, err = strconv.Atoi(s)
	return err == nil && 0 < *n && *n <= mostCalls
}

func duration(s string, d *time.Duration) bool {
	var err error
	*d, err = time.ParseDuration(s)
	return err == nil && *d > 0
}

// String prints c as ParseLimit reads it; empty: all defaults.
func (c LimitConfig) String() string {
	if c.Off {
		return "off"
	}
	var parts []string
	for _, n := range []struct {
		key   string
		value int
	}{{"initial", c.Initial}, {"min", c.Min}, {"max", c.Max}, {"queue", c.Queue}} {
		if n.value != 0 {
			parts = append(parts, n.key+"="+strconv.Itoa(max(n.value, 0)))
		}
	}
	for _, d := range []struct {
		key   string
		value time.Duration
	}{{"wait", c.Wait}, {"slack", c.Slack}} {
		if d.value != 0 {
			parts = append(parts, d.key+"="+d.value.String())
		}
	}
	return strings.Join(parts, ",")
}
