package transcode

import (
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// An endpoint is one HTTP route of one gRPC method, as its proto says. A nil
// endpoint is a route that no proto knows.
type endpoint struct {
	method protoreflect.MethodDescriptor
	verb   string          // GET, POST, …
	path   string          // the template, with {x} written as {x=*}
	body   string          // "": none; "*": the whole request; else a field
	bound  map[string]bool // the field paths that the URL path sets
}

// endpoints lists the routes of all protos linked into the program, by verb and
// template.
func endpoints() (map[string]*endpoint, error) {
	table := map[string]*endpoint{}
	var err error
	eachMethod(func(m protoreflect.MethodDescriptor) {
		for _, e := range endpointsOf(m) {
			key := e.verb + " " + e.path
			if other, ok := table[key]; ok && err == nil {
				err = fmt.Errorf("%s is a route of both %s and %s", key, other.method.FullName(), m.FullName())
			}
			table[key] = e
		}
	})
	return table, err
}

// eachMethod calls f with every method that is linked in.
func eachMethod(f func(protoreflect.MethodDescriptor)) {
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				f(methods.Get(j))
			}
		}
		return true
	})
}

// endpointsOf lists the routes of one method, in the order of its proto.
func endpointsOf(m protoreflect.MethodDescriptor) []*endpoint {
	rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	if rule == nil {
		return nil
	}
	var list []*endpoint
	for _, r := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
		verb, path := verbOf(r)
		if path == "" {
			continue
		}
		e := &endpoint{method: m, verb: verb, body: r.GetBody(), bound: map[string]bool{}}
		for _, v := range variable.FindAllStringSubmatch(path, -1) {
			e.bound[v[1]] = true
		}
		e.path = variable.ReplaceAllStringFunc(path, func(v string) string {
			if strings.Contains(v, "=") {
				return v
			}
			return strings.TrimSuffix(v, "}") + "=*}"
		})
		list = append(list, e)
	}
	return list
}

// variable matches a variable of a path template: its field path is group 1.
var variable = regexp.MustCompile(`\{([^=}]+)(=[^}]*)?\}`)

func verbOf(r *annotations.HttpRule) (verb, path string) {
	switch p := r.GetPattern().(type) {
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

// streams says whether the answer is a stream.
func (e *endpoint) streams() bool { return e != nil && e.method.IsStreamingServer() }

// bodyType is the message that the body holds, or nil where it is no message.
func (e *endpoint) bodyType() protoreflect.MessageDescriptor {
	if e == nil || e.body == "" {
		return nil
	}
	if e.body == "*" {
		return e.method.Input()
	}
	f := e.method.Input().Fields().ByName(protoreflect.Name(e.body))
	if f == nil || f.IsList() || f.IsMap() {
		return nil
	}
	return f.Message()
}

// reads says whether a query parameter sets a field that neither the path nor
// the body sets. Fields go by their proto or their JSON name.
func (e *endpoint) reads(key string) bool {
	if e.body == "*" {
		return false
	}
	if name, rest, ok := strings.Cut(key, "["); ok && strings.HasSuffix(rest, "]") {
		key = name // an entry of a map
	}
	var path []string
	md := e.method.Input()
	for name := range strings.SplitSeq(key, ".") {
		if md == nil {
			return false
		}
		f := md.Fields().ByTextName(name)
		if f == nil {
			f = md.Fields().ByJSONName(name)
		}
		if f == nil {
			return false
		}
		path = append(path, string(f.Name()))
		if joined := strings.Join(path, "."); joined == e.body || e.bound[joined] {
			return false
		}
		md = nil
		if !f.IsList() && !f.IsMap() {
			md = f.Message()
		}
	}
	return true
}
