package rpc

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"example.com/app/platform/balance"
	"example.com/app/platform/balance/balancepb"
	"example.com/app/platform/rpc/internal/probepb"
)

func TestWhatKeepsCallsTogetherIsToldToThePolicy(t *testing.T) {
	ada, user := balance.Hash("ada"), balance.Hash("u-1")
	type call func(context.Context, probepb.ProbeClient) error
	find := func(ctx context.Context, c probepb.ProbeClient) error {
		_, err := c.Find(ctx, &probepb.Request{Text: "ada"})
		return err
	}
	for name, test := range map[string]struct {
		header string
		call   call
		want   balance.Call
	}{
		"the field that the proto names": {"", find, balance.Call{Key: ada}},
		"the field, without the header":  {"x-other", find, balance.Call{Key: ada}},
		"the header before the field":    {"x-user", find, balance.Call{Key: user}},
		"an empty field is nothing": {"", func(ctx context.Context, c probepb.ProbeClient) error {
			_, err := c.Find(ctx, &probepb.Request{})
			return err
		}, balance.Call{}},
		"no field and no header": {"", func(ctx context.Context, c probepb.ProbeClient) error {
			_, err := c.Write(ctx, &probepb.Request{Text: "ada"})
			return err
		}, balance.Call{}},
		"the header of any method": {"X-User", func(ctx context.Context, c probepb.ProbeClient) error {
			_, err := c.Write(ctx, &probepb.Request{})
			return err
		}, balance.Call{Key: user}},
		"a stream, by header": {"x-user", func(ctx context.Context, c probepb.ProbeClient) error {
			_, err := c.Chat(ctx)
			return err
		}, balance.Call{Key: user, Long: true}},
		"a stream": {"", func(ctx context.Context, c probepb.ProbeClient) error {
			_, err := c.Chat(ctx)
			return err
		}, balance.Call{Long: true}},
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, func(w *world) {
				f := &first{}
				client := w.two(w.newBalancer(f), ClientConfig{HashHeader: test.header})
				ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(w.Context(), "x-user", "u-1"))
				defer cancel()
				require.NoError(w, test.call(ctx, client))
				require.Equal(w, test.want, f.last())
			})
		})
	}
}

func TestACallAboutWhichThereIsNothingToSayCarriesNothing(t *testing.T) {
	keys, err := keyFields(protoregistry.GlobalFiles)
	require.NoError(t, err)
	c, ctx, req := &client{keys: keys}, t.Context(), &probepb.Request{Text: "ada"}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if c.key(ctx, probepb.Probe_Write_FullMethodName, req) != 0 {
			t.Fatal("a key out of nothing")
		}
	}))
}

func TestCallsApartGoToOneInstanceAfterTheOther(t *testing.T) {
	inMemory(t, func(w *world) {
		probes := []*probe{{}, {}, {}}
		for i, p := range probes {
			w.start("probe-"+string(rune('0'+i)), p, ServerConfig{})
		}
		f := &first{} // it would send all to the first one
		conn := w.dialAs("client", ClientConfig{Balancer: w.newBalancer(f)})
		w.reach(conn)
		ctx := apart((&about{key: 7}).with(w.Context()))
		for range probes {
			_, err := probepb.NewProbeClient(conn).Write(ctx, &probepb.Request{})
			require.NoError(w, err)
		}
		require.Equal(w, []int{1, 1, 1}, []int{probes[0].calls(), probes[1].calls(), probes[2].calls()})
		require.EqualValues(w, 7, f.last().Key)
		_, err := probepb.NewProbeClient(conn).Write(ctx, &probepb.Request{})
		require.NoError(w, err, "the same one again is better than none")
	})
}

func TestAMessageFromAnotherCopyOfTheProtoHasTheSameKey(t *testing.T) {
	copied, err := protodesc.NewFile(protodesc.ToFileDescriptorProto(probepb.File_platform_rpc_internal_probepb_probe_proto), protoregistry.GlobalFiles)
	require.NoError(t, err)
	d := copied.Messages().ByName("Request")
	m := dynamicpb.NewMessage(d)
	m.Set(d.Fields().ByName("text"), protoreflect.ValueOfString("ada"))
	require.Equal(t, balance.Hash("ada"), keyField{"text"}.of(m))
	require.Zero(t, keyField{"missing"}.of(m))
	require.Zero(t, keyField{"text", "deeper"}.of(m))
}

// described is a proto whose only method names a field that keeps calls
// together.
func described(t *testing.T, path string, clientStream *bool) *protoregistry.Files {
	t.Helper()
	options := &descriptorpb.MethodOptions{}
	proto.SetExtension(options, balancepb.E_Key, path)
	text, number := descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_TYPE_INT64
	message := descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	one, many := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL, descriptorpb.FieldDescriptorProto_LABEL_REPEATED
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("made.proto"), Package: proto.String("made.v1"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("User"), Field: []*descriptorpb.FieldDescriptorProto{
				{Name: proto.String("id"), Number: proto.Int32(1), Type: &number, Label: &one},
			}},
			{Name: proto.String("Request"), Field: []*descriptorpb.FieldDescriptorProto{
				{Name: proto.String("name"), Number: proto.Int32(1), Type: &text, Label: &one},
				{Name: proto.String("names"), Number: proto.Int32(2), Type: &text, Label: &many},
				{Name: proto.String("user"), Number: proto.Int32(3), Type: &message, TypeName: proto.String(".made.v1.User"), Label: &one},
			}},
		},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("Made"), Method: []*descriptorpb.MethodDescriptorProto{{
			Name: proto.String("Do"), InputType: proto.String(".made.v1.Request"), OutputType: proto.String(".made.v1.Request"),
			Options: options, ClientStreaming: clientStream,
		}}}},
	}, protoregistry.GlobalFiles)
	require.NoError(t, err)
	files := new(protoregistry.Files)
	require.NoError(t, files.RegisterFile(file))
	return files
}

func TestAFieldThatCannotKeepCallsTogetherIsRefused(t *testing.T) {
	for _, path := range []string{"missing", "names", "user", "name.id", "user.missing", "user.", "."} {
		t.Run(path, func(t *testing.T) {
			_, err := keyFields(described(t, path, nil))
			require.ErrorContains(t, err, "made.v1.Made.Do has no field "+path)
		})
	}
	_, err := keyFields(described(t, "name", proto.Bool(true)))
	require.Error(t, err, "a client stream has no request to look at when it begins")
}

func TestAFieldWithinAMessageKeepsCallsTogether(t *testing.T) {
	files := described(t, "user.id", nil)
	keys, err := keyFields(files)
	require.NoError(t, err)
	require.Equal(t, map[string]keyField{"/made.v1.Made/Do": {"user", "id"}}, keys)
	d, err := files.FindDescriptorByName("made.v1.Request")
	require.NoError(t, err)
	m := dynamicpb.NewMessage(d.(protoreflect.MessageDescriptor))
	require.Zero(t, keys["/made.v1.Made/Do"].of(m))
	user := m.Mutable(m.Descriptor().Fields().ByName("user")).Message()
	user.Set(user.Descriptor().Fields().ByName("id"), protoreflect.ValueOfInt64(42))
	require.Equal(t, balance.Hash("42"), keys["/made.v1.Made/Do"].of(m))
}
