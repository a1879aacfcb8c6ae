package edge

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/app/platform/edge/canonical"
	"example.com/app/platform/errs"
)

// maxCount bounds both figures of a rate, so that no product of them overflows.
const maxCount = 1_000_000

// A Rate is how often something may happen: a bucket of Burst tokens that fills
// by Count tokens in each Per. The zero value stands for a default.
type Rate struct {
	Count int           // in each Per; below 0: as often as one likes
	Per   time.Duration // 0 means a second
	Burst int           // at once, after a pause; 0 means Count
}

// unlimited is the rate that refuses nothing.
const unlimited = "off"

// String is the rate as ParseRate reads it.
func (r Rate) String() string {
	if r.Count < 0 {
		return unlimited
	}
	unit := "s"
	switch r.Per {
	case time.Minute:
		unit = "m"
	case time.Hour:
		unit = "h"
	}
	s := strconv.Itoa(r.Count) + "/" + unit
	if r.Burst > 0 {
		s += ",burst=" + strconv.Itoa(r.Burst)
	}
	return s
}

// ParseRate reads "100/s", "20/m" or "5/h", each with or without ",burst=200"
// behind it, and "off". An error is of kind errs.Invalid and says what was
// wanted.
func ParseRate(s string) (Rate, error) {
	if s == unlimited {
		return Rate{Count: -1}, nil
	}
	figures, option, more := strings.Cut(s, ",")
	count, unit, _ := strings.Cut(figures, "/")
	r := Rate{}
	switch unit {
	case "s":
		r.Per = time.Second
	case "m":
		r.Per = time.Minute
	case "h":
		r.Per = time.Hour
	default:
		return Rate{}, errs.Invalid.New("rate %q: want a number, a slash and s, m or h, as in 100/s, or off", s)
	}
	var err error
	if r.Count, err = parseCount(count); err != nil {
		return Rate{}, errs.Invalid.New("rate %q: %w", s, err)
	}
	if !more {
		return r, nil
	}
	burst, ok := strings.CutPrefix(option, "burst=")
	if !ok {
		return Rate{}, errs.Invalid.New("rate %q: unknown option %q; there is burst=NUMBER", s, option)
	}
	if r.Burst, err = parseCount(burst); err != nil {
		return Rate{}, errs.Invalid.New("rate %q: burst: %w", s, err)
	}
	return r, nil
}

func parseCount(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 || n > maxCount {
		return 0, fmt.Errorf("%q is not a number from 1 to %d", s, maxCount)
	}
	return int(n), nil
}

// Validate returns an error of kind errs.Invalid that says what is wrong with
// the rate, or nil.
func (r Rate) Validate() error {
	if r.Count > maxCount || r.Burst < 0 || r.Burst > maxCount || r.Per < 0 || r.Per > 24*time.Hour {
		return errs.Invalid.New("rate %+v: want at most %d in each day or less", r, maxCount)
	}
	if r.Count > 0 && r.Per > 0 && r.Per < time.Duration(r.Count) {
		return errs.Invalid.New("rate %+v: that is more than one in a nanosecond", r)
	}
	return nil
}

// A RouteRate limits each client on what is under a path prefix, beside the
// limit for all it asks.
type RouteRate struct {
	Prefix string // as in "/v1/greetings": begins with a slash, ends without one
	Rate   Rate
}

// String is the rate as ParseRouteRate reads it.
func (r RouteRate) String() string { return r.Prefix + "=" + r.Rate.String() }

// ParseRouteRate reads "/v1/greetings=10/s", or with a burst as ParseRate does.
// A slash at the end of the prefix is dropped. An error is of kind errs.Invalid
// and says what was wanted.
func ParseRouteRate(s string) (RouteRate, error) {
	prefix, rate, ok := strings.Cut(s, "=")
	if !ok {
		return RouteRate{}, errs.Invalid.New("route rate %q has no \"=\"; write it as /v1/greetings=10/s", s)
	}
	r := RouteRate{Prefix: strings.TrimSuffix(prefix, "/")}
	if r.Prefix == "" || strings.ContainsAny(r.Prefix, "*{}?#% ") {
		return RouteRate{}, errs.Invalid.New("route rate %q: %q is not a plain path of one segment or more", s, prefix)
	}
	if err := canonical.CheckPath(r.Prefix + "/"); err != nil {
		return RouteRate{}, errs.Invalid.New("route rate %q: %w", s, err)
	}
	var err error
	r.Rate, err = ParseRate(rate)
	if err != nil {
		return RouteRate{}, errs.Invalid.New("route rate %q: %w", s, err)
	}
	return r, nil
}

// longest sorts rates so that the first one that covers a path is the closest.
func longest(routes []RouteRate) []RouteRate {
	sorted := slices.Clone(routes)
	slices.SortStableFunc(sorted, func(a, b RouteRate) int { return len(b.Prefix) - len(a.Prefix) })
	return sorted
}

// covers says whether the path is the prefix or under it.
func (r RouteRate) covers(path string) bool {
	rest, ok := strings.CutPrefix(path, r.Prefix)
	return ok && (rest == "" || rest[0] == '/')
}
