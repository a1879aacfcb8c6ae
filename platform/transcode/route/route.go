// Package route knows the HTTP routes of gRPC methods, as the google.api.http
// rules in the protos state them, and what a request on each may carry.
//
// The protos are the only source: neither who serves the routes nor who
// describes them adds one or reads a rule again.
package route

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// A Route is one HTTP route of one gRPC method. It is not changed once made. A
// nil Route is one that no proto knows.
type Route struct {
	Method protoreflect.MethodDescriptor
	Verb   string // GET, POST, …
	Path   string // the template, with {x} written as {x=*}
	Body   string // "": none; "*": the whole request; else a field of it

	bound map[string]bool // the field paths that the URL path sets
}

// Table lists the routes of files by verb and template, as in
// "GET /v1/greetings/{name=*}". It is an error if two methods share a route.
func Table(files *protoregistry.Files) (map[string]*Route, error) {
	table := map[string]*Route{}
	for _, m := range methods(files) {
		for _, r := range routesOf(m) {
			key := r.Verb + " " + r.Path
			if other, ok := table[key]; ok {
				return nil, fmt.Errorf("%s is a route of both %s and %s", key, other.Method.FullName(), m.FullName())
			}
			table[key] = r
		}
	}
	return table, nil
}

// methods lists the methods of all services, sorted by name.
func methods(files *protoregistry.Files) []protoreflect.MethodDescriptor {
	var all []protoreflect.MethodDescriptor
	files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			list := file.Services().Get(i).Methods()
			for j := range list.Len() {
				all = append(all, list.Get(j))
			}
		}
		return true
	})
	slices.SortFunc(all, func(a, b protoreflect.MethodDescriptor) int { return cmp.Compare(a.FullName(), b.FullName()) })
	return all
}

// routesOf lists the routes of one method, in the order of its proto.
func routesOf(m protoreflect.MethodDescriptor) []*Route {
	rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	if rule == nil {
		return nil
	}
	var list []*Route
	for _, rule := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
		verb, path := verbOf(rule)
		if path == "" {
			continue
		}
		r := &Route{Method: m, Verb: verb, Body: rule.GetBody(), bound: map[string]bool{}}
		for _, v := range variable.FindAllStringSubmatch(path, -1) {
			r.bound[v[1]] = true
		}
		r.Path = variable.ReplaceAllStringFunc(path, func(v string) string {
			if strings.Contains(v, "=") {
				return v
			}
			return strings.TrimSuffix(v, "}") + "=*}"
		})
		list = append(list, r)
	}
	return list
}

// variable matches a variable of a path template: its field path is group 1.
var variable = regexp.MustCompile(`\{([^=}]+)(=[^}]*)?\}`)

func verbOf(rule *annotations.HttpRule) (verb, path string) {
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		return "GET", p.Get
	case *annotations.HttpRule_Put:
		return "PUT", p.Put
	case *annotations.HttpRule_Post:
		return "POST", p.Post
	case *annotations.HttpRule_Delete:
		return "DELETE", p.Delete
	case *annotations.HttpRule_Patch:
		return "PATCH", p.Patch
	case *annotations.HttpRule_Custom:
		return p.Custom.GetKind(), p.Custom.GetPath()
	}
	return "", ""
}

// Streams says whether the answer is a stream.
func (r *Route) Streams() bool { return r != nil && r.Method.IsStreamingServer() }
