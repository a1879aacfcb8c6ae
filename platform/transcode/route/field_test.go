package route_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/transcode/internal/echopb"
	"example.com/app/platform/transcode/route"
)

const (
	get   = "GET /v1/echoes/{name=*}"
	post  = "POST /v1/echoes"
	patch = "PATCH /v1/{note.name=shelves/*/notes/*}"
)

func echo(t *testing.T) map[string]*route.Route {
	t.Helper()
	table, err := route.Table(files(t, echopb.File_platform_transcode_internal_echopb_echo_proto))
	require.NoError(t, err)
	return table
}

func TestAParameterIsReadIfNothingElseSetsItsField(t *testing.T) {
	table := echo(t)
	for _, c := range []struct {
		name, route, parameter string
		want                   bool
	}{
		{"a field", get, "times", true},
		{"by its proto name", get, "tag_list", true},
		{"by its JSON name", get, "tagList", true},
		{"deep", get, "note.text", true},
		{"an entry of a map", get, "notes[a]", true},
		{"an entry that does not end", get, "notes[a", false},
		{"set by the path", get, "name", false},
		{"unknown", get, "nam", false},
		{"unknown, deep", get, "note.txt", false},
		{"beyond a scalar", get, "times.x", false},
		{"beyond a list", get, "tag_list.x", false},
		{"beyond a map", get, "notes.text", false},
		{"empty", get, "", false},
		{"set by the body", post, "times", false},
		{"beside the body", patch, "update_mask", true},
		{"the body", patch, "note", false},
		{"in the body", patch, "note.text", false},
		{"of a route that no proto knows", "GET /nowhere", "any", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, table[c.route].Reads(c.parameter))
		})
	}
}

func TestTheBodyIsTheRequestOrAFieldOfIt(t *testing.T) {
	table := echo(t)
	require.Nil(t, table[get].BodyType())
	require.Nil(t, table["GET /nowhere"].BodyType())
	require.EqualValues(t, "echo.v1.SayRequest", table[post].BodyType().FullName())
	require.EqualValues(t, "echo.v1.Note", table[patch].BodyType().FullName())
}

func TestUnknownFieldsAreFoundAtAnyDepth(t *testing.T) {
	say := (&echopb.SayRequest{}).ProtoReflect().Descriptor()
	update := (&echopb.UpdateNoteRequest{}).ProtoReflect().Descriptor()
	for doc, want := range map[string][]string{
		`{"name":"Ada","tagList":[],"tag_list":[]}`:            nil,
		`{"z":1,"a":2,"f":3,"d":4,"x":5}`:                      {"a", "d", "f", "x", "z"},
		`{"note":{"txt":1}}`:                                   {"note.txt"},
		`{"notes":{"a":{"b":1},"c \" d":{"e":{"f":1}}}}`:       {`notes["a"].b`, `notes["c \" d"].e`},
		`{"note":5,"notes":[],"name":{"a":1},"[ext.field]":1}`: nil,
		`{"times":1e999,"b":1}`:                                {"b"},
		`[]`:                                                   nil,
		`{"a"`:                                                 nil,
	} {
		require.Equal(t, want, route.UnknownFields([]byte(doc), say), doc)
	}
	require.Nil(t, route.UnknownFields([]byte(`{"updateMask":{"a":1}}`), update), "a mask is a string in JSON; what else it is, protojson tells")
}
