package openapi

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnOperationSaysWhichScopesItNeeds(t *testing.T) {
	const doc = `{"openapi":"3.1.0","paths":{"/v1/nowhere":{"get":{}}}}`
	document, err := Document(Info{Issuer: "https://id.example.com"}, []byte(doc))
	require.NoError(t, err)
	var d struct {
		Paths      map[string]map[string]object
		Components struct{ SecuritySchemes map[string]object }
	}
	require.NoError(t, json.Unmarshal(document, &d))
	require.Equal(t, "https://id.example.com/.well-known/openid-configuration", d.Components.SecuritySchemes["oauth2"]["openIdConnectUrl"])
	require.Equal(t, []any{map[string]any{"oauth2": []any{}}}, d.Paths["/v1/nowhere"]["get"]["security"], "of what no proto knows, nobody may believe that it is open")

	document, err = Document(Info{}, []byte(doc))
	require.NoError(t, err)
	require.NotContains(t, string(document), "security")
}
