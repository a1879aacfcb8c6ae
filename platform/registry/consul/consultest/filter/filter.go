// Package filter understands the expressions that Consul takes as ?filter= as
// far as programs need them: comparisons of fields joined by and, or and not.
//
//	Service.Meta.zone == "north" and "http" in Service.Tags and not (Service.Port == 80)
package filter

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// A Filter decides about values of one type. It may be used from many
// goroutines.
type Filter struct{ match predicate }

type predicate func(reflect.Value) bool

// For reads an expression about values of the type of sample. An empty one
// lets everything pass.
func For(sample any, expression string) (Filter, error) {
	if strings.TrimSpace(expression) == "" {
		return Filter{func(reflect.Value) bool { return true }}, nil
	}
	p := &parser{tokens: split(expression), sample: reflect.TypeOf(sample)}
	match, err := p.either()
	if err == nil && p.peek() != "" {
		err = p.unexpected()
	}
	if err != nil {
		return Filter{}, fmt.Errorf("Failed to create boolean expression evaluator: %w", err) //nolint:staticcheck // Consul's own words
	}
	return Filter{match}, nil
}

// Match reports whether v passes.
func (f Filter) Match(v any) bool { return f.match(reflect.ValueOf(v)) }

// A parser reads tokens from left to right.
type parser struct {
	tokens []string
	sample reflect.Type
}

// split cuts an expression into words, quoted strings, operators and
// parentheses.
func split(s string) []string {
	var tokens []string
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		n := 1
		switch c := s[0]; {
		case c == '"' || c == '`':
			if end := strings.IndexByte(s[1:], c); end >= 0 {
				n = end + 2
			}
		case strings.HasPrefix(s, "==") || strings.HasPrefix(s, "!="):
			n = 2
		case c != '(' && c != ')':
			if n = strings.IndexAny(s, " \t\n()=!\""); n < 0 {
				n = len(s)
			}
			n = max(n, 1)
		}
		tokens, s = append(tokens, s[:n]), s[n:]
	}
	return tokens
}

func (p *parser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *parser) next() string {
	t := p.peek()
	p.tokens = p.tokens[min(1, len(p.tokens)):]
	return t
}

// accept takes these words if they are next.
func (p *parser) accept(words ...string) bool {
	if len(p.tokens) < len(words) || !slices.Equal(p.tokens[:len(words)], words) {
		return false
	}
	p.tokens = p.tokens[len(words):]
	return true
}

func (p *parser) unexpected() error {
	if p.peek() == "" {
		return fmt.Errorf("no match found, expected more")
	}
	return fmt.Errorf("no match found, expected something else than %q", p.peek())
}

func (p *parser) either() (predicate, error) {
	a, err := p.both()
	if err != nil || !p.accept("or") {
		return a, err
	}
	b, err := p.either()
	return func(v reflect.Value) bool { return a(v) || b(v) }, err
}

func (p *parser) both() (predicate, error) {
	a, err := p.one()
	if err != nil || !p.accept("and") {
		return a, err
	}
	b, err := p.both()
	return func(v reflect.Value) bool { return a(v) && b(v) }, err
}

func (p *parser) one() (predicate, error) {
	switch {
	case p.accept("not"):
		return not(p.one())
	case p.accept("("):
		inner, err := p.either()
		if err == nil && !p.accept(")") {
			err = p.unexpected()
		}
		return inner, err
	}
	return p.comparison()
}

func not(match predicate, err error) (predicate, error) {
	return func(v reflect.Value) bool { return !match(v) }, err
}

// comparison reads "field op value" or "value in field".
func (p *parser) comparison() (predicate, error) {
	left := p.next()
	if left == "" || strings.ContainsAny(left, "()=!") && left[0] != '"' && left[0] != '`' {
		return nil, fmt.Errorf("no match found at %q", left)
	}
	switch {
	case p.accept("=="):
		return p.field(left, p.next(), equal)
	case p.accept("!="):
		return not(p.field(left, p.next(), equal))
	case p.accept("contains"):
		return p.field(left, p.next(), contains)
	case p.accept("not", "contains"):
		return not(p.field(left, p.next(), contains))
	case p.accept("in"):
		return p.field(p.next(), left, contains)
	case p.accept("not", "in"):
		return not(p.field(p.next(), left, contains))
	case p.accept("is", "empty"):
		return p.field(left, `""`, empty)
	case p.accept("is", "not", "empty"):
		return not(p.field(left, `""`, empty))
	}
	return nil, p.unexpected()
}

// field compares the field that a selector names with a value.
func (p *parser) field(selector, value string, holds func(reflect.Value, string) bool) (predicate, error) {
	if value == "" || value == ")" {
		return nil, fmt.Errorf("no match found, expected a value")
	}
	if value[0] == '"' || value[0] == '`' {
		text, err := strconv.Unquote(value)
		if err != nil {
			return nil, fmt.Errorf("no match found, expected the end of %s", value)
		}
		value = text
	}
	path := strings.Split(selector, ".")
	for i, t := 0, p.sample; i < len(path); i++ {
		if t = below(t, path[i]); t == nil {
			return nil, fmt.Errorf("Selector %q is not valid", strings.Join(path[:i+1], ".")) //nolint:staticcheck // Consul's own words
		}
	}
	return func(v reflect.Value) bool {
		for _, name := range path {
			if v = step(v, name); !v.IsValid() {
				return false
			}
		}
		return holds(v, value)
	}, nil
}

// below is the type of what a name selects in a type; nil: nothing.
func below(t reflect.Type, name string) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() { //nolint:exhaustive // nothing else has names
	case reflect.Map:
		return t.Elem()
	case reflect.Struct:
		if f, ok := t.FieldByName(name); ok && f.Tag.Get("bexpr") != "-" {
			return f.Type
		}
	}
	return nil
}

// step is what a name selects in a value.
func step(v reflect.Value, name string) reflect.Value {
	v = reflect.Indirect(v)
	if v.Kind() == reflect.Map {
		return v.MapIndex(reflect.ValueOf(name).Convert(v.Type().Key()))
	}
	if v.Kind() != reflect.Struct {
		return reflect.Value{}
	}
	return v.FieldByName(name)
}

func equal(v reflect.Value, want string) bool { return fmt.Sprint(reflect.Indirect(v)) == want }

func contains(v reflect.Value, want string) bool {
	switch v.Kind() { //nolint:exhaustive // nothing else contains
	case reflect.String:
		return strings.Contains(v.String(), want)
	case reflect.Map:
		return step(v, want).IsValid()
	case reflect.Slice:
		for i := range v.Len() {
			if equal(v.Index(i), want) {
				return true
			}
		}
	}
	return false
}

func empty(v reflect.Value, _ string) bool { return v.Len() == 0 }
