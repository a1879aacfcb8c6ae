package proxy

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"example.com/app/platform/errs"
)

// A Route sends what is under a path prefix to a service of the registry.
// Whoever serves a Proxy sees to who may use it.
type Route struct {
	Prefix  string // as in "/shop": begins with a slash, ends without one
	Service string // its name in the registry
	Whole   bool   // the path goes on as it came; else without the prefix

	Public bool     // for everybody; else for those with an access token
	Scopes []string // that the token has, all of them
}

// String is the route as ParseRoute reads it.
func (r Route) String() string {
	s := r.Prefix + "=" + r.Service
	if r.Whole {
		s += ",whole"
	}
	if r.Public {
		s += ",public"
	}
	for _, scope := range r.Scopes {
		s += ",scope=" + scope
	}
	return s
}

// cut is what is cut off paths.
func (r Route) cut() string {
	if r.Whole {
		return ""
	}
	return r.Prefix
}

// ParseRoute reads "/prefix=service", and behind it ",whole" for the whole path
// to go on, and ",public", or ",scope=NAME" for each scope. A slash at the end of the prefix is dropped. An error is of
// kind errs.Invalid and says what was wanted.
func ParseRoute(s string) (Route, error) {
	prefix, rest, ok := strings.Cut(s, "=")
	if !ok {
		return Route{}, errs.Invalid.New("route %q has no \"=\"; write it as /shop=shop", s)
	}
	service, options, more := strings.Cut(rest, ",")
	r := Route{Prefix: strings.TrimSuffix(prefix, "/"), Service: service}
	for more {
		var option string
		option, options, more = strings.Cut(options, ",")
		key, scope, _ := strings.Cut(option, "=")
		switch {
		case option == "whole":
			r.Whole = true
		case option == "public":
			r.Public = true
		case key == "scope" && scope != "":
			r.Scopes = append(r.Scopes, scope)
		default:
			return Route{}, errs.Invalid.New("route %q: unknown option %q; there are whole, public and scope=NAME", s, option)
		}
	}
	if err := r.Validate(); err != nil {
		return Route{}, errs.Invalid.New("route %q: %w", s, err)
	}
	return r, nil
}

// ParseRoutes reads several routes, and sees that they have different prefixes.
func ParseRoutes(list []string) ([]Route, error) {
	routes := make([]Route, 0, len(list))
	for _, s := range list {
		r, err := ParseRoute(s)
		if err != nil {
			return nil, err
		}
		routes = append(routes, r)
	}
	if _, err := newTable(routes); err != nil {
		return nil, err
	}
	return routes, nil
}

// serviceName is what a service may be called: what Consul's DNS accepts, with
// the dots and underscores that people register anyway.
const serviceName = `^[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$`

// Validate returns an error of kind errs.Invalid that says what is wrong with
// the route, or nil.
func (r Route) Validate() error {
	switch {
	case r.Prefix == "" || r.Prefix == "/":
		return errs.Invalid.New("the prefix is the whole site; give it a name, as in /shop=shop")
	case r.Prefix[0] != '/':
		return errs.Invalid.New("prefix %q does not begin with a slash; write /%s", r.Prefix, r.Prefix)
	case strings.Contains(r.Prefix, "*"):
		return errs.Invalid.New("prefix %q has a wildcard; a prefix matches all that is under it without one", r.Prefix)
	case strings.ContainsAny(r.Prefix, "?#%{} ") || strings.HasSuffix(r.Prefix, "/"):
		return errs.Invalid.New("prefix %q is not a plain path; write it as /shop or /shop/cart", r.Prefix)
	}
	if r.Public && len(r.Scopes) > 0 {
		return errs.Invalid.New("it is public and asks for scopes; only one can be meant")
	}
	if err := checkPath(r.Prefix); err != nil {
		return errs.Invalid.New("prefix %q: %w", r.Prefix, err)
	}
	if ok, _ := regexp.MatchString(serviceName, r.Service); !ok {
		return errs.Invalid.New("service %q is not a name; use letters, digits, \"-\", \".\" and \"_\"", r.Service)
	}
	return nil
}

// A table is routes, the longest prefix first.
type table []Route

// newTable checks routes one by one and against each other.
func newTable(routes []Route) (table, error) {
	t := table(slices.Clone(routes))
	slices.SortStableFunc(t, func(a, b Route) int {
		return cmp.Or(cmp.Compare(len(b.Prefix), len(a.Prefix)), cmp.Compare(a.Prefix, b.Prefix))
	})
	for i, r := range t {
		if err := r.Validate(); err != nil {
			return nil, fmt.Errorf("route %s: %w", r, err)
		}
		if i > 0 && t[i-1].Prefix == r.Prefix {
			return nil, errs.Invalid.New("prefix %s has two routes, to %s and to %s; keep one", r.Prefix, t[i-1].Service, r.Service)
		}
	}
	return t, nil
}

// Route finds the route of a decoded path (URL.Path).
func (p *Proxy) Route(path string) (Route, bool) { return p.routes.match(path) }

// match finds the route of a decoded path: the longest prefix that ends where
// a segment of the path ends.
func (t table) match(path string) (Route, bool) {
	for _, r := range t {
		if rest, ok := strings.CutPrefix(path, r.Prefix); ok && (rest == "" || rest[0] == '/') {
			return r, true
		}
	}
	return Route{}, false
}
