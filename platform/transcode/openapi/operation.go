package openapi

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"example.com/app/platform/transcode/route"
)

// finish adds to an operation what its proto says and the generator did not. A
// nil route says nothing.
func finish(op object, r *route.Route, renamed map[string]string) {
	params, _ := op["parameters"].([]any)
	for _, p := range params {
		if p, ok := p.(object); ok {
			finishParameter(p, r, renamed)
		}
	}
	responses, ok := op["responses"].(object)
	if !ok {
		responses = object{}
		op["responses"] = responses
	}
	responses["default"] = object{"$ref": "#/components/responses/Error"}
	if r == nil {
		return
	}
	if r.Streams() {
		describeStream(responses)
	}
	if body := at(op, "requestBody", "content", "application/json", "schema"); body != nil {
		limitMessage(body, r.BodyType())
	}
}

// finishParameter renames a parameter of the path, or limits another.
func finishParameter(p object, r *route.Route, renamed map[string]string) {
	name, _ := p["name"].(string)
	if to, ok := renamed[name]; ok && p["in"] == "path" {
		p["name"] = to
		if to != name {
			about, _ := p["description"].(string)
			p["description"] = strings.TrimSpace(fmt.Sprintf("The %s part. %s", to, about))
		}
		return
	}
	schema, _ := p["schema"].(object)
	if r == nil || schema == nil {
		return
	}
	limitField(schema, fieldAt(r.Method.Input(), name))
}

// fieldAt finds a field by its path of JSON or proto names; nil: there is none.
func fieldAt(md protoreflect.MessageDescriptor, path string) protoreflect.FieldDescriptor {
	var f protoreflect.FieldDescriptor
	for name := range strings.SplitSeq(path, ".") {
		if md == nil {
			return nil
		}
		if f = route.Field(md, name); f == nil {
			return nil
		}
		md = f.Message()
	}
	return f
}

// describeStream describes both forms of a streamed answer instead of a single one.
func describeStream(responses object) {
	for code := range responses {
		content := at(responses, code, "content")
		one := at(content, "application/json", "schema")
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
