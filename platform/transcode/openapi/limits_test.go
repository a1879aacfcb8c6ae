package openapi

import (
	"encoding/json"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/transcode/internal/echopb"
)

// limited is a schema after the rules were written into it.
func limited(t *testing.T, schema string, write func(object)) string {
	t.Helper()
	var o object
	require.NoError(t, json.Unmarshal([]byte(schema), &o))
	write(o)
	doc, err := json.Marshal(o)
	require.NoError(t, err)
	return string(doc)
}

func TestARuleBecomesALimitOfItsSchema(t *testing.T) {
	text := func(r *validate.StringRules) *validate.FieldRules {
		return &validate.FieldRules{Type: &validate.FieldRules_String_{String_: r}}
	}
	ifSet := text(&validate.StringRules{MinLen: new(uint64(3)), MaxLen: new(uint64(5)), Pattern: new("^a")})
	ifSet.Ignore = validate.Ignore_IGNORE_IF_ZERO_VALUE.Enum()
	exactIfSet := text(&validate.StringRules{Len: new(uint64(4))})
	exactIfSet.Ignore = ifSet.Ignore
	for _, c := range []struct {
		name, schema string
		rules        *validate.FieldRules
		want         string
	}{
		{"none", `{"type":"string"}`, nil, `{"type":"string"}`},
		{"no type of rule", `{"type":"string"}`, &validate.FieldRules{}, `{"type":"string"}`},
		{"exact length", `{}`, text(&validate.StringRules{Len: new(uint64(4))}), `{"maxLength":4,"minLength":4}`},
		{"length", `{}`, text(&validate.StringRules{MinLen: new(uint64(3)), MaxLen: new(uint64(5))}), `{"maxLength":5,"minLength":3}`},
		{"the empty text is let through", `{}`, ifSet, `{"maxLength":5,"pattern":"^$|^a"}`},
		{"the empty text is let through, else exact", `{}`, exactIfSet, `{"maxLength":4}`},
		{"list", `{"items":{}}`, &validate.FieldRules{Type: &validate.FieldRules_Repeated{Repeated: &validate.RepeatedRules{
			MinItems: new(uint64(1)), MaxItems: new(uint64(2)), Unique: new(true), Items: text(&validate.StringRules{MaxLen: new(uint64(9))}),
		}}}, `{"items":{"maxLength":9},"maxItems":2,"minItems":1,"uniqueItems":true}`},
		{"map", `{}`, &validate.FieldRules{Type: &validate.FieldRules_Map{Map: &validate.MapRules{
			MinPairs: new(uint64(1)), MaxPairs: new(uint64(2)),
		}}}, `{"maxProperties":2,"minProperties":1}`},
		{"open range", `{"type":"number"}`, &validate.FieldRules{Type: &validate.FieldRules_Double{Double: &validate.DoubleRules{
			GreaterThan: &validate.DoubleRules_Gt{Gt: 0}, LessThan: &validate.DoubleRules_Lt{Lt: 0.5},
		}}}, `{"exclusiveMaximum":0.5,"exclusiveMinimum":0,"type":"number"}`},
		{"closed range", `{"type":"integer"}`, &validate.FieldRules{Type: &validate.FieldRules_Uint32{Uint32: &validate.UInt32Rules{
			GreaterThan: &validate.UInt32Rules_Gte{Gte: 1}, LessThan: &validate.UInt32Rules_Lte{Lte: 2},
		}}}, `{"maximum":2,"minimum":1,"type":"integer"}`},
		{"a number that is a string", `{"type":"string"}`, &validate.FieldRules{Type: &validate.FieldRules_Int64{Int64: &validate.Int64Rules{
			GreaterThan: &validate.Int64Rules_Gte{Gte: 1},
		}}}, `{"type":"string"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.JSONEq(t, c.want, limited(t, c.schema, func(o object) { limit(o, c.rules) }))
		})
	}
}

func TestAMessageIsLimitedDownToItsFields(t *testing.T) {
	update := (&echopb.UpdateNoteRequest{}).ProtoReflect().Descriptor()
	require.JSONEq(t, `{"properties":{"note":{"properties":{"text":{"pattern":"^$|^[a-z]+$"}}}},"required":["updateMask","note"]}`,
		limited(t, `{"properties":{"note":{"properties":{"text":{}}}},"required":["updateMask"]}`, func(o object) {
			limitMessage(o, update)
			limitMessage(o, update) // twice is as good as once
		}))
	require.JSONEq(t, `{"properties":{}}`, limited(t, `{"properties":{}}`, func(o object) { limitMessage(o, update) }), "what is not described is not limited")
}
