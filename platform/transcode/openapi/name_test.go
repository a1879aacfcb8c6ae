package openapi

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestATemplateIsExpandedAsTheGeneratorDoes(t *testing.T) {
	for template, want := range map[string]string{
		"/v1/echoes":                                  "/v1/echoes",
		"/v1/echoes/{name=*}:repeat":                  "/v1/echoes/{name}:repeat",
		"/v1/{note.name=shelves/*/notes/*}":           "/v1/shelves/{note.name}/notes/{note.name_1}",
		"/v1/{name=a/*/b/*/c/**}/rest/{other=*}/more": "/v1/a/{name}/b/{name_1}/c/{name_2}/rest/{other}/more",
	} {
		require.Equal(t, want, expand(template))
	}
}

func TestTheNameOfAMemberDoesNotDependOnTheOrder(t *testing.T) {
	for _, patterns := range [][]string{{"shelf", "ledge"}, {"ledge", "shelf"}} {
		names := map[string]string{}
		for _, name := range patterns {
			addNames(names, []string{"shelves", "{" + name + "}", "notes", "{note}", "settings"})
		}
		require.Equal(t, map[string]string{"shelves": "ledge", "notes": "note"}, names)
	}
}
