package openapi_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/transcode/internal/echopb"
	"example.com/app/platform/transcode/openapi"
)

// A node is a JSON object or array or value, to walk in.
type node struct{ v any }

func parse(t *testing.T, doc []byte) node {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal(doc, &v))
	return node{v}
}

// at goes down by keys; nil where there is nothing.
func (n node) at(keys ...string) any {
	v := n.v
	for _, k := range keys {
		o, _ := v.(map[string]any)
		v = o[k]
	}
	return v
}

// echoDocument is what the generator makes of echo.proto, which is linked in.
func echoDocument(t *testing.T) []byte {
	t.Helper()
	doc, err := os.ReadFile("../internal/echopb/echo.openapi.json")
	require.NoError(t, err)
	require.EqualValues(t, "echo.v1", echopb.File_platform_transcode_internal_echopb_echo_proto.Package())
	return doc
}

func document(t *testing.T, docs ...[]byte) []byte {
	t.Helper()
	doc, err := openapi.Document(openapi.Info{Title: "Echo", Version: "v1", Description: "Says."}, docs...)
	require.NoError(t, err)
	return doc
}

func TestTheDocumentHasEveryRouteAndError(t *testing.T) {
	n := parse(t, document(t, echoDocument(t)))
	require.Equal(t, "3.1.0", n.at("openapi"))
	require.Equal(t, map[string]any{"title": "Echo", "version": "v1", "description": "Says."}, n.at("info"))
	routes := map[string]string{
		"/v1/echoes/{name}": "get", "/v1/echoes": "post", "/v1/echoes/{name}:repeat": "get", "/v1/shelves/{shelf}/notes/{note}": "patch",
	}
	require.Len(t, n.at("paths"), len(routes))
	for path, verb := range routes {
		require.NotNil(t, n.at("paths", path, verb, "responses", "200"), path)
		require.Equal(t, map[string]any{"$ref": "#/components/responses/Error"}, n.at("paths", path, verb, "responses", "default"))
	}
	params, ok := n.at("paths", "/v1/shelves/{shelf}/notes/{note}", "patch", "parameters").([]any)
	require.True(t, ok)
	require.Equal(t, "shelf", node{params[0]}.at("name"))
	require.Equal(t, "note", node{params[1]}.at("name"))
	require.Equal(t, "Say something.", n.at("paths", "/v1/echoes", "post", "summary"))
}

func TestEveryReferenceInTheDocumentResolves(t *testing.T) {
	n := parse(t, document(t, echoDocument(t)))
	count := 0
	var visit func(any)
	visit = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				count++
				require.NotNil(t, n.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...), ref)
			}
			for _, inner := range v {
				visit(inner)
			}
		case []any:
			for _, inner := range v {
				visit(inner)
			}
		}
	}
	visit(n.v)
	require.Greater(t, count, 4)
}

func TestTheDocumentHasTheLimitsOfTheProtos(t *testing.T) {
	n := parse(t, document(t, echoDocument(t)))
	body := node{n.at("paths", "/v1/echoes", "post", "requestBody", "content", "application/json", "schema")}
	require.EqualValues(t, 1, body.at("properties", "name", "minLength"))
	require.EqualValues(t, 10, body.at("properties", "name", "maxLength"))
	require.EqualValues(t, 0, body.at("properties", "times", "minimum"))
	require.EqualValues(t, 9, body.at("properties", "times", "maximum"))
	require.EqualValues(t, 3, body.at("properties", "tagList", "maxItems"))
	require.Equal(t, "^[a-z]+$", body.at("properties", "tagList", "items", "pattern"))
	note := node{n.at("components", "schemas", "echo.v1.Note")}
	require.Equal(t, "^$|^[a-z]+$", note.at("properties", "text", "pattern"), "the empty text is not validated")
	params, ok := n.at("paths", "/v1/echoes/{name}", "get", "parameters").([]any)
	require.True(t, ok)
	for _, p := range params {
		switch p := (node{p}); p.at("name") {
		case "name":
			require.EqualValues(t, 10, p.at("schema", "maxLength"))
		case "times":
			require.EqualValues(t, 9, p.at("schema", "maximum"))
		}
	}
}

func TestAStreamIsDescribedInBothForms(t *testing.T) {
	n := parse(t, document(t, echoDocument(t)))
	content, ok := n.at("paths", "/v1/echoes/{name}:repeat", "get", "responses", "200", "content").(map[string]any)
	require.True(t, ok)
	require.Len(t, content, 2)
	one := map[string]any{"$ref": "#/components/schemas/echo.v1.SayResponse"}
	require.Equal(t, one, node{content}.at("text/event-stream", "schema"))
	require.Equal(t, one, node{content}.at("application/x-ndjson", "schema", "properties", "result"))
}

const (
	left  = `{"openapi":"3.1.0","paths":{"/b":{"get":{}}},"components":{"schemas":{"A":{"type":"object"}}},"tags":[{"name":"Z"}]}`
	right = `{"openapi":"3.1.0","paths":{"/b":{"post":{}},"/a":{"get":{}}},"components":{"schemas":{"A":{"type":"object"}}},"tags":[{"name":"B"},{"name":"Z"}]}`
)

func TestTheDocumentIsStable(t *testing.T) {
	doc := document(t, []byte(left), []byte(right))
	require.Equal(t, string(doc), string(document(t, []byte(right), []byte(left))))
	n := parse(t, doc)
	require.Len(t, n.at("paths", "/b"), 2, "two documents may share a path")
	require.Equal(t, []any{map[string]any{"name": "B"}, map[string]any{"name": "Z"}}, n.at("tags"))
}

func TestDocumentsThatDisagreeAreRefused(t *testing.T) {
	for name, other := range map[string]string{
		`GET /b is there twice`:                `{"openapi":"3.1.0","paths":{"/b":{"get":{}}}}`,
		`schema "A" is there twice, and not`:   `{"openapi":"3.1.0","components":{"schemas":{"A":{"type":"string"}}}}`,
		`schema "Error" is there twice`:        `{"openapi":"3.1.0","components":{"schemas":{"Error":{"type":"string"}}}}`,
		`tag "Z" is there twice`:               `{"openapi":"3.1.0","tags":[{"name":"Z","description":"else"}]}`,
		`version "2.0" is not 3.1`:             `{"openapi":"2.0"}`,
		`document 2: unexpected end`:           `{`,
		`parameters of /c is not an operation`: `{"openapi":"3.1.0","paths":{"/c":{"parameters":[]}}}`,
	} {
		_, err := openapi.Document(openapi.Info{}, []byte(left), []byte(other))
		require.ErrorContains(t, err, name)
	}
}
