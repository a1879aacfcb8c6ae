package transcode

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// A codec is the JSON of requests and answers. It may be used from many
// goroutines.
type codec struct{ runtime.JSONPb }

// newCodec reads strictly, and writes every field that has a value or a
// default, but no nulls: a client sees what there is.
func newCodec() *codec {
	return &codec{runtime.JSONPb{
		MarshalOptions:   protojson.MarshalOptions{EmitDefaultValues: true},
		UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: false},
	}}
}

// Marshal writes an answer, or a line of a stream. The same message has the
// same bytes in every build; protojson alone does not promise that.
func (c *codec) Marshal(v any) ([]byte, error) {
	if line, ok := v.(map[string]proto.Message); ok {
		if s, ok := line["error"].(*spb.Status); ok {
			return errorJSON(status.FromProto(s), 0, ""), nil
		}
	}
	doc, err := c.JSONPb.Marshal(v)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Grow(len(doc))
	if err := json.Compact(&b, doc); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// NewDecoder reads one document. That it is one, and JSON, was checked when the
// body was read.
func (c *codec) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		doc, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if len(doc) == 0 {
			return io.EOF // the generated code takes it for an empty message
		}
		return c.Unmarshal(doc, v)
	})
}

// ContentType is that of an answer.
func (c *codec) ContentType(any) string { return "application/json" }

// StreamContentType is that of a stream.
func (c *codec) StreamContentType(any) string { return "application/x-ndjson" }

// Delimiter ends a line of a stream.
func (c *codec) Delimiter() []byte { return []byte("\n") }
