package openapi_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAParameterGoesByWhatItHolds(t *testing.T) {
	const path = "/v1/shelves/{shelf}/notes/{note}"
	for name, c := range map[string]struct{ parameter, want string }{
		"described":     {`{"name":"note.name","in":"path","description":"The name."}`, "The shelf part. The name."},
		"not described": {`{"name":"note.name","in":"path"}`, "The shelf part."},
	} {
		t.Run(name, func(t *testing.T) {
			n := parse(t, document(t, []byte(`{"openapi":"3.1.0","paths":{
				"/v1/shelves/{note.name}/notes/{note.name_1}":{"patch":{"parameters":[`+c.parameter+`,
					{"name":"note.name","in":"query","description":"Not in the path."}]}}}}`)))
			params, ok := n.at("paths", path, "patch", "parameters").([]any)
			require.True(t, ok, "the path is not renamed")
			require.Equal(t, map[string]any{"name": "shelf", "in": "path", "description": c.want}, params[0])
			require.Equal(t, "note.name", node{params[1]}.at("name"))
		})
	}
}

func TestAParameterOfNoResourceKeepsItsName(t *testing.T) {
	n := parse(t, document(t, []byte(`{"openapi":"3.1.0","paths":{"/v1/echoes/{name}":{"get":{"parameters":[
		{"name":"name","in":"path","description":"Who."}]}}}}`)))
	params, ok := n.at("paths", "/v1/echoes/{name}", "get", "parameters").([]any)
	require.True(t, ok)
	require.Equal(t, "Who.", node{params[0]}.at("description"))
}
