package transcode

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// resourceNames maps a collection to the name of its members, as in "phrases"
// to "phrase", from the google.api.resource patterns of all protos linked in.
func resourceNames() map[string]string {
	names := map[string]string{}
	eachMethod(func(m protoreflect.MethodDescriptor) {
		messages := m.ParentFile().Messages()
		for i := range messages.Len() {
			res, _ := proto.GetExtension(messages.Get(i).Options(), annotations.E_Resource).(*annotations.ResourceDescriptor)
			for _, pattern := range res.GetPattern() {
				segments := strings.Split(pattern, "/")
				for i := 1; i < len(segments); i++ {
					name, ok := unbrace(segments[i])
					if old, taken := names[segments[i-1]]; ok && (!taken || name < old) {
						names[segments[i-1]] = name
					}
				}
			}
		}
	})
	return names
}

// unbrace is x of {x}.
func unbrace(segment string) (string, bool) {
	if !strings.HasPrefix(segment, "{") || !strings.HasSuffix(segment, "}") {
		return "", false
	}
	return segment[1 : len(segment)-1], true
}

// expand writes a template as the generator of the documents does: a variable
// of several parts becomes several parameters, {x}, {x_1} and so on.
func expand(template string) string {
	return variable.ReplaceAllStringFunc(template, func(v string) string {
		v, _ = unbrace(v)
		field, parts, _ := strings.Cut(v, "=")
		segments := strings.Split(parts, "/")
		n := 0
		for i, s := range segments {
			if s != "*" && s != "**" {
				continue
			}
			segments[i] = "{" + field + "}"
			if n > 0 {
				segments[i] = fmt.Sprintf("{%s_%d}", field, n)
			}
			n++
		}
		return strings.Join(segments, "/")
	})
}

// rename calls the parameters in a path by what they hold: the one after
// phrases is {phrase}. It returns what became of each name. So GET and PATCH of
// a resource share a path, as OpenAPI wants it, though their fields differ.
func (m *merger) rename(path string) (string, map[string]string) {
	renamed := map[string]string{}
	segments := strings.Split(path, "/")
	for i := 1; i < len(segments); i++ {
		param, _, _ := strings.Cut(segments[i], ":")
		old, ok := unbrace(param)
		name, known := m.names[segments[i-1]]
		if !ok || !known {
			continue
		}
		renamed[old] = name
		segments[i] = strings.Replace(segments[i], param, "{"+name+"}", 1)
	}
	return strings.Join(segments, "/"), renamed
}

// finish adds to an operation what its proto says and the generator did not. A
// nil endpoint says nothing.
func finish(op object, e *endpoint, renamed map[string]string) {
	params, _ := op["parameters"].([]any)
	for _, p := range params {
		if p, ok := p.(object); ok {
			finishParameter(p, e, renamed)
		}
	}
	responses, ok := op["responses"].(object)
	if !ok {
		responses = object{}
		op["responses"] = responses
	}
	responses["default"] = object{"$ref": "#/components/responses/Error"}
	if e == nil {
		return
	}
	if e.streams() {
		describeStream(responses)
	}
	if body := at(op, "requestBody", "content", "application/json", "schema"); body != nil {
		limitMessage(body, e.bodyType())
	}
}

// finishParameter renames a parameter of the path, or limits another.
func finishParameter(p object, e *endpoint, renamed map[string]string) {
	name, _ := p["name"].(string)
	if to, ok := renamed[name]; ok && p["in"] == "path" {
		p["name"] = to
		if to != name {
			p["description"] = strings.TrimSpace(fmt.Sprintf("The %s part. %v", to, p["description"]))
		}
		return
	}
	schema, _ := p["schema"].(object)
	if e == nil || schema == nil {
		return
	}
	limitField(schema, fieldAt(e.method.Input(), name))
}

// fieldAt finds a field by its path of JSON or proto names; nil: there is none.
func fieldAt(md protoreflect.MessageDescriptor, path string) protoreflect.FieldDescriptor {
	var f protoreflect.FieldDescriptor
	for name := range strings.SplitSeq(path, ".") {
		if md == nil {
			return nil
		}
		if f = md.Fields().ByJSONName(name); f == nil {
			f = md.Fields().ByTextName(name)
		}
		if f == nil {
			return nil
		}
		md = f.Message()
	}
	return f
}

// describeStream describes both forms of a streamed answer instead of a single one.
func describeStream(responses object) {
	for _, code := range slices.Sorted(maps.Keys(responses)) {
		content := at(responses, code, "content")
		one := at(responses, code, "content", "application/json", "schema")
		if one == nil {
			continue
		}
		delete(content, "application/json")
		content["application/x-ndjson"] = object{"schema": object{
			"type":        "object",
			"description": "A line of the stream: a result, or the error that ended it.",
			"properties": object{
				"result": one,
				"error":  object{"$ref": "#/components/schemas/Error/properties/error"},
			},
		}}
		content["text/event-stream"] = object{"schema": one}
	}
}

// at goes down a path of keys; nil: there is no object.
func at(o object, keys ...string) object {
	for _, key := range keys {
		o, _ = o[key].(object)
	}
	return o
}
