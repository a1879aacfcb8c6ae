package route_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"example.com/app/platform/transcode/internal/echopb"
	"example.com/app/platform/transcode/route"
)

// files holds one proto.
func files(t *testing.T, file protoreflect.FileDescriptor) *protoregistry.Files {
	t.Helper()
	all := new(protoregistry.Files)
	require.NoError(t, all.RegisterFile(file))
	return all
}

// made is a proto of a service per rule, named Z, Y and so on, each with a
// method M: what is sorted is not so by chance.
func made(t *testing.T, rules ...*annotations.HttpRule) *protoregistry.Files {
	t.Helper()
	file := &descriptorpb.FileDescriptorProto{
		Name: new("made.proto"), Package: new("made"), Syntax: new("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: new("Thing")}},
	}
	for i, rule := range rules {
		options := &descriptorpb.MethodOptions{}
		if rule != nil {
			proto.SetExtension(options, annotations.E_Http, rule)
		}
		file.Service = append(file.Service, &descriptorpb.ServiceDescriptorProto{
			Name: new(string(rune('Z' - i))),
			Method: []*descriptorpb.MethodDescriptorProto{{
				Name: new("M"), InputType: new(".made.Thing"), OutputType: new(".made.Thing"), Options: options,
			}},
		})
	}
	fd, err := protodesc.NewFile(file, nil)
	require.NoError(t, err)
	return files(t, fd)
}

func TestTheTableHasEveryRuleOfEveryMethod(t *testing.T) {
	table, err := route.Table(files(t, echopb.File_platform_transcode_internal_echopb_echo_proto))
	require.NoError(t, err)
	require.Equal(t, []string{
		"GET /v1/echoes/{name=*}",
		"GET /v1/echoes/{name=*}:repeat",
		"PATCH /v1/{note.name=shelves/*/notes/*}",
		"POST /v1/echoes",
	}, slices.Sorted(maps.Keys(table)))
	for key, r := range table {
		require.Equal(t, key, r.Verb+" "+r.Path)
		require.Equal(t, key == "GET /v1/echoes/{name=*}:repeat", r.Streams(), key)
	}
	require.Equal(t, "*", table["POST /v1/echoes"].Body)
	require.EqualValues(t, "echo.v1.Echo.UpdateNote", table["PATCH /v1/{note.name=shelves/*/notes/*}"].Method.FullName())
}

func TestEveryVerbIsKnown(t *testing.T) {
	table, err := route.Table(made(t,
		&annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: "/a"}},
		&annotations.HttpRule{Pattern: &annotations.HttpRule_Put{Put: "/a"}},
		&annotations.HttpRule{Pattern: &annotations.HttpRule_Post{Post: "/a"}},
		&annotations.HttpRule{Pattern: &annotations.HttpRule_Delete{Delete: "/a"}},
		&annotations.HttpRule{Pattern: &annotations.HttpRule_Patch{Patch: "/a"}},
		&annotations.HttpRule{Pattern: &annotations.HttpRule_Custom{Custom: &annotations.CustomHttpPattern{Kind: "PURGE", Path: "/a"}}},
		&annotations.HttpRule{},
		nil,
	))
	require.NoError(t, err)
	require.Equal(t, []string{"DELETE /a", "GET /a", "PATCH /a", "POST /a", "PURGE /a", "PUT /a"}, slices.Sorted(maps.Keys(table)))
}

func TestARouteOfTwoMethodsIsRefused(t *testing.T) {
	same := &annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: "/v1/{x}"}}
	spelt := &annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: "/v1/{x=*}"}}
	_, err := route.Table(made(t, same, spelt, same))
	require.EqualError(t, err, "GET /v1/{x=*} is a route of both made.X.M and made.Y.M")
}
