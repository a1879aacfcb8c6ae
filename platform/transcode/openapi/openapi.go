// Package openapi describes the HTTP/JSON API of the roles: one OpenAPI 3.1
// document for all of them, and a page for people to read it and try it.
//
// The document tells what is so: it is made from the protos that package
// transcode serves, limits included, and nothing in it is written by hand
// but the shape of an error. The page needs nothing from the internet.
package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoregistry"

	"example.com/app/platform/transcode/route"
)

// Info says which API a document is about.
type Info struct {
	Title       string
	Version     string
	Description string // CommonMark; empty: none
	Issuer      string // URL of who makes access tokens; empty: none are asked for
}

// object is a JSON object.
type object = map[string]any

// Document merges the OpenAPI 3 documents of the roles into one. The same
// documents give the same bytes. It is an error if two disagree about a path, a
// schema or a tag.
//
// What the generator of the documents leaves out is added from the protos that
// are linked in: the limits of protovalidate, the names of the parts of a
// resource, the two forms of a stream, the error answers, and which scopes an
// access token needs.
func Document(info Info, docs ...[]byte) ([]byte, error) {
	m := merger{
		secure: info.Issuer != "",
		names:  resourceNames(protoregistry.GlobalFiles), routes: map[string]*route.Route{},
		paths: object{}, schemas: object{}, tags: object{},
	}
	table, err := route.Table(protoregistry.GlobalFiles)
	if err != nil {
		return nil, err
	}
	for _, r := range table {
		path, _ := m.rename(expand(r.Path))
		m.routes[strings.ToLower(r.Verb)+" "+path] = r
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
	names  map[string]string       // see resourceNames
	routes map[string]*route.Route // by verb in lower case and path of the document
	secure bool                    // access tokens are asked for

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
		finish(op, m.routes[verb+" "+path], renamed)
		if m.secure {
			op["security"] = security(m.routes[verb+" "+path])
		}
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
	components := object{"schemas": m.schemas, "responses": object{"Error": errorResponse()}}
	if m.secure {
		components["securitySchemes"] = securitySchemes(info.Issuer)
	}
	err := enc.Encode(object{
		"openapi":    "3.1.0",
		"info":       about,
		"paths":      m.paths,
		"components": components,
		"tags":       tags,
	})
	return b.Bytes(), err
}
