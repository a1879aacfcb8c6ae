package route

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Field finds a field by its JSON or its proto name, which clients may mix;
// nil: there is none.
func Field(md protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if f := md.Fields().ByJSONName(name); f != nil {
		return f
	}
	return md.Fields().ByTextName(name)
}

// BodyType is the message that the body holds, or nil where it is no message.
func (r *Route) BodyType() protoreflect.MessageDescriptor {
	if r == nil || r.Body == "" {
		return nil
	}
	if r.Body == "*" {
		return r.Method.Input()
	}
	return single(r.Method.Input().Fields().ByName(protoreflect.Name(r.Body)))
}

// single is the message that a field holds; nil: it holds none, or many.
func single(f protoreflect.FieldDescriptor) protoreflect.MessageDescriptor {
	if f == nil || f.IsList() || f.IsMap() {
		return nil
	}
	return f.Message()
}

// Reads says whether a query parameter sets a field that neither the path nor
// the body sets. Of a nil Route nothing is known, so it reads all.
func (r *Route) Reads(parameter string) bool {
	if r == nil {
		return true
	}
	if r.Body == "*" {
		return false
	}
	if name, rest, ok := strings.Cut(parameter, "["); ok && strings.HasSuffix(rest, "]") {
		parameter = name // an entry of a map
	}
	var path []string
	md := r.Method.Input()
	for name := range strings.SplitSeq(parameter, ".") {
		if md == nil {
			return false
		}
		f := Field(md, name)
		if f == nil {
			return false
		}
		path = append(path, string(f.Name()))
		if joined := strings.Join(path, "."); joined == r.Body || r.bound[joined] {
			return false
		}
		md = single(f)
	}
	return true
}

// UnknownFields lists the paths of the fields in a JSON document that a message
// does not have, sorted, as in notes["a"].text[2]. A document that is not JSON
// has none.
func UnknownFields(doc []byte, md protoreflect.MessageDescriptor) []string {
	var v any
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber() // or a number too large for a float64 would end the reading
	if d.Decode(&v) != nil {
		return nil
	}
	var found []string
	walk(v, md, "", func(path string) { found = append(found, path) })
	slices.Sort(found)
	return found
}

// walk goes down a document and a message side by side. Where the two differ in
// shape it stops: that is not its business.
func walk(v any, md protoreflect.MessageDescriptor, at string, unknown func(path string)) {
	object, ok := v.(map[string]any)
	if !ok || md.ParentFile().Package() == "google.protobuf" {
		return // the JSON of a well-known type is not its fields
	}
	if at != "" {
		at += "."
	}
	for name, value := range object {
		path := at + name
		f := Field(md, name)
		switch {
		case f == nil:
			if !strings.HasPrefix(name, "[") { // an extension
				unknown(path)
			}
		case f.IsMap() && f.MapValue().Message() != nil:
			entries, _ := value.(map[string]any)
			for key, entry := range entries {
				walk(entry, f.MapValue().Message(), path+"["+strconv.Quote(key)+"]", unknown)
			}
		case f.IsList() && f.Message() != nil:
			list, _ := value.([]any)
			for i, item := range list {
				walk(item, f.Message(), path+"["+strconv.Itoa(i)+"]", unknown)
			}
		case !f.IsMap() && f.Message() != nil:
			walk(value, f.Message(), path, unknown)
		}
	}
}
