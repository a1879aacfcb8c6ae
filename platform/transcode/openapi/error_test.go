package openapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/platform/transcode"
)

// misfit says where a value is not what a schema of the document allows, in
// the part of JSON Schema that the error schema uses; nil: it fits. A property
// that the schema does not name is a misfit unless the schema says otherwise.
func (n node) misfit(schema, v any, at string) error {
	s := node{schema}
	want, _ := s.at("type").(string)
	switch v := v.(type) {
	case map[string]any:
		return errors.Join(sameType(want, "object", at), n.objectMisfit(s, v, at))
	case []any:
		err := sameType(want, "array", at)
		for i, item := range v {
			err = errors.Join(err, n.misfit(s.at("items"), item, fmt.Sprintf("%s[%d]", at, i)))
		}
		return err
	case float64:
		return sameType(want, "integer", at)
	case string:
		return sameType(want, "string", at)
	}
	return fmt.Errorf("%s is %v", at, v)
}

func sameType(want, is, at string) error {
	if want != is {
		return fmt.Errorf("%s is of type %s, the schema says %q", at, is, want)
	}
	return nil
}

func (n node) objectMisfit(s node, v map[string]any, at string) (err error) {
	required, _ := s.at("required").([]any)
	for _, name := range required {
		if _, ok := v[name.(string)]; !ok {
			err = errors.Join(err, fmt.Errorf("%s has no %s", at, name))
		}
	}
	for name, inner := range v {
		property := s.at("properties", name)
		if property == nil {
			if s.at("additionalProperties") != true {
				err = errors.Join(err, fmt.Errorf("%s has %s, the schema does not", at, name))
			}
			continue
		}
		err = errors.Join(err, n.misfit(property, inner, at+"."+name))
	}
	return err
}

func TestAnErrorIsWhatTheDocumentSays(t *testing.T) {
	n := parse(t, document(t))
	schema := n.at("components", "schemas", "Error")
	require.NotNil(t, schema)
	written := map[string]bool{}
	for name, err := range map[string]error{
		"plain":   errs.NotFound.New("no Ada"),
		"reason":  errs.NotFound.New("no Ada").Because("NO_NAME", "name", "Ada"),
		"fields":  errs.Invalid.New("bad").Field("name", "string.min", "too short"),
		"bug":     errors.New("nil map"),
		"timeout": context.DeadlineExceeded,
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		r.Header.Set("X-Request-Id", "quote-me")
		transcode.WriteError(w, r, err)
		answer := parse(t, w.Body.Bytes())
		require.NoError(t, n.misfit(schema, answer.v, name))
		for property := range answer.at("error").(map[string]any) {
			written[property] = true
		}
	}
	for property := range (node{schema}).at("properties", "error", "properties").(map[string]any) {
		require.True(t, written[property], "the document promises %s, which no error has", property)
	}
}
