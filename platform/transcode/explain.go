package transcode

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"example.com/app/platform/errs"
)

// explain makes an error about a bad body a good one. The generated code has
// flattened it into a text, and it looks like one from the service. So the body
// is read once more, in this rare case: if it cannot be read, that was it.
func (c *call) explain(err error) error {
	md := c.endpoint.bodyType()
	if md == nil || len(c.body) == 0 || !errs.Invalid.Is(err) {
		return err
	}
	bad := protojson.Unmarshal(c.body, dynamicpb.NewMessage(md))
	if bad == nil {
		return err
	}
	fields := unknownFields(c.body, md)
	if len(fields) == 0 {
		return errs.Invalid.New("the body is not what it should be: %s", plain(bad)).Because("BAD_BODY")
	}
	e := errs.Invalid.New("unknown field %q", fields[0]).Because("UNKNOWN_FIELD")
	for _, f := range fields[:min(len(fields), maxViolations)] {
		e = e.Field(f, "unknown", "no such field")
	}
	return e
}

// plain is the text of a protojson error without its prefix, whose space is on
// purpose another one in every build.
func plain(err error) string {
	return strings.TrimLeft(strings.TrimPrefix(err.Error(), "proto:"), " \u00a0")
}

// unknownFields lists the paths of the fields in a JSON document that a message
// does not have, sorted.
func unknownFields(doc []byte, md protoreflect.MessageDescriptor) []string {
	var v any
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
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
	for name, value := range object {
		path := join(at, name)
		f := md.Fields().ByJSONName(name)
		if f == nil {
			f = md.Fields().ByTextName(name)
		}
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

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}
