package transcode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Info says which API a document is about.
type Info struct {
	Title       string
	Version     string
	Description string // CommonMark; empty: none
}

// object is a JSON object.
type object = map[string]any

// Document merges the OpenAPI 3 documents of the roles into one. The same
// documents give the same bytes. It is an error if two disagree about a path, a
// schema or a tag.
//
// What the generator of the documents leaves out is added from the protos that
// are linked in: the limits of protovalidate, the names of the parts of a
// resource, the two forms of a stream, and the error answers.
func Document(info Info, docs ...[]byte) ([]byte, error) {
	m := merger{
		names: resourceNames(), endpoints: map[string]*endpoint{},
		paths: object{}, schemas: object{}, tags: object{},
	}
	table, err := endpoints()
	if err != nil {
		return nil, err
	}
	for _, e := range table {
		path, _ := m.rename(expand(e.path))
		m.endpoints[strings.ToLower(e.verb)+" "+path] = e
	}
	for i, doc := range docs {
		if err := m.add(doc); err != nil {
			return nil, fmt.Errorf("merge OpenAPI document %d: %w", i+1, err)
		}
	}
	return m.write(info)
}

// A merger holds what has been merged so far.
type merger struct {
	names     map[string]string    // see resourceNames
	endpoints map[string]*endpoint // by verb in lower case and path of the document

	paths   object // path → verb → operation
	schemas object // by name
	tags    object // by name
}

// add merges one document in.
func (m *merger) add(doc []byte) error {
	var d struct {
		OpenAPI    string            `json:"openapi"`
		Paths      map[string]object `json:"paths"`
		Components struct {
			Schemas object `json:"schemas"`
		} `json:"components"`
		Tags []object `json:"tags"`
	}
	if err := json.Unmarshal(doc, &d); err != nil {
		return err
	}
	if !strings.HasPrefix(d.OpenAPI, "3.1") {
		return fmt.Errorf("version %q is not 3.1", d.OpenAPI)
	}
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		if err := m.addPath(path, d.Paths[path]); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Components.Schemas)) {
		schema := d.Components.Schemas[name]
		limitMessage(schema, messageNamed(name))
		if err := put(m.schemas, "schema", name, schema); err != nil {
			return err
		}
	}
	for _, tag := range d.Tags {
		name, _ := tag["name"].(string)
		if err := put(m.tags, "tag", name, tag); err != nil {
			return err
		}
	}
	return nil
}

// addPath merges the operations of one path.
func (m *merger) addPath(path string, item object) error {
	path, renamed := m.rename(path)
	verbs, ok := m.paths[path].(object)
	if !ok {
		verbs = object{}
		m.paths[path] = verbs
	}
	for _, verb := range slices.Sorted(maps.Keys(item)) {
		op, ok := item[verb].(object)
		if !ok {
			return fmt.Errorf("%s of %s is not an operation", verb, path)
		}
		if _, taken := verbs[verb]; taken {
			return fmt.Errorf("%s %s is there twice", strings.ToUpper(verb), path)
		}
		finish(op, m.endpoints[verb+" "+path], renamed)
		verbs[verb] = op
	}
	return nil
}

// put adds a named thing, which may be there already if it is the same.
func put(all object, what, name string, thing any) error {
	if have, ok := all[name]; ok && !reflect.DeepEqual(have, thing) {
		return fmt.Errorf("%s %q is there twice, and not the same", what, name)
	}
	all[name] = thing
	return nil
}

// write is the whole document.
func (m *merger) write(info Info) ([]byte, error) {
	for name, schema := range errorSchemas() {
		if err := put(m.schemas, "schema", name, schema); err != nil {
			return nil, err
		}
	}
	about := object{"title": info.Title, "version": info.Version}
	if info.Description != "" {
		about["description"] = info.Description
	}
	tags := []any{}
	for _, name := range slices.Sorted(maps.Keys(m.tags)) {
		tags = append(tags, m.tags[name])
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(object{
		"openapi":    "3.1.0",
		"info":       about,
		"paths":      m.paths,
		"components": object{"schemas": m.schemas, "responses": object{"Error": errorResponse()}},
		"tags":       tags,
	})
	return b.Bytes(), err
}

// errorSchemas describe what WriteError writes.
func errorSchemas() object {
	return object{"Error": object{
		"type":        "object",
		"description": "An error answer, as AIP-193 has it.",
		"required":    []any{"error"},
		"properties": object{"error": object{
			"type":     "object",
			"required": []any{"code", "status", "message"},
			"properties": object{
				"code":    object{"type": "integer", "description": "The HTTP status code."},
				"status":  object{"type": "string", "description": "The kind, one of google.rpc.Code, such as NOT_FOUND."},
				"message": object{"type": "string", "description": "What happened, for people."},
				"details": object{
					"type":        "array",
					"description": "What happened, for programs: google.rpc.ErrorInfo with a stable reason, google.rpc.BadRequest with the fields at fault, and others.",
					"items": object{
						"type":                 "object",
						"required":             []any{"@type"},
						"properties":           object{"@type": object{"type": "string", "description": "The type of the detail, a URL."}},
						"additionalProperties": true,
					},
				},
			},
		}},
	}}
}

func errorResponse() object {
	return object{
		"description": "The request failed.",
		"content":     object{"application/json": object{"schema": object{"$ref": "#/components/schemas/Error"}}},
	}
}
