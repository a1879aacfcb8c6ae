package transcode

import (
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/dynamicpb"

	"example.com/app/platform/errs"
	"example.com/app/platform/transcode/route"
)

// explain makes an error about a bad body a good one. The generated code has
// flattened it into a text, and it looks like one from the service. So the body
// is read once more, in this rare case: if it cannot be read, that was it.
func (c *call) explain(err error) error {
	md := c.route.BodyType()
	if md == nil || len(c.body) == 0 || !errs.Invalid.Is(err) {
		return err
	}
	bad := protojson.Unmarshal(c.body, dynamicpb.NewMessage(md))
	if bad == nil {
		return err
	}
	fields := route.UnknownFields(c.body, md)
	if len(fields) == 0 {
		return errs.Invalid.New("the body is not what it should be: %s", plain(bad)).Because("BAD_BODY")
	}
	e := errs.Invalid.New("unknown field %q", short(fields[0])).Because("UNKNOWN_FIELD")
	for _, f := range fields[:min(len(fields), maxViolations)] {
		e = e.Field(short(f), "unknown", "no such field")
	}
	return e
}

// plain is the text of a protojson error without its prefix, whose space is on
// purpose another one in every build.
func plain(err error) string {
	return short(strings.TrimLeft(strings.TrimPrefix(err.Error(), "proto:"), " \u00a0"))
}

// short is the beginning of what a client sent: an answer does not repeat it by
// the megabyte.
func short(text string) string {
	const most = 300
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
