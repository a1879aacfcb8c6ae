package openapi

import (
	"encoding/json"
	"slices"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// messageNamed is the linked-in message of that full name; nil: there is none.
func messageNamed(name string) protoreflect.MessageDescriptor {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return nil
	}
	md, _ := d.(protoreflect.MessageDescriptor)
	return md
}

// limitMessage writes the protovalidate rules of a message into its schema.
// Rules in CEL are not written: JSON Schema has no words for them.
func limitMessage(schema any, md protoreflect.MessageDescriptor) {
	o, ok := schema.(object)
	if !ok || md == nil {
		return
	}
	properties, _ := o["properties"].(object)
	for i := range md.Fields().Len() {
		f := md.Fields().Get(i)
		property, ok := properties[f.JSONName()].(object)
		if !ok {
			continue
		}
		limitField(property, f)
		if f.Message() != nil && !f.IsList() && !f.IsMap() {
			limitMessage(property, f.Message())
		}
		if rulesOf(f).GetRequired() {
			mustHave(o, f.JSONName())
		}
	}
}

// mustHave adds a property to those that must be there.
func mustHave(o object, name string) {
	list, _ := o["required"].([]any)
	if !slices.Contains(list, any(name)) {
		o["required"] = append(list, name)
	}
}

// rulesOf are the rules of a field; nil: there are none.
func rulesOf(f protoreflect.FieldDescriptor) *validate.FieldRules {
	rules, _ := proto.GetExtension(f.Options(), validate.E_Field).(*validate.FieldRules)
	return rules
}

// limitField writes the rules of a field into its schema. A nil field has none.
func limitField(schema object, f protoreflect.FieldDescriptor) {
	if f != nil {
		limit(schema, rulesOf(f))
	}
}

func limit(schema object, rules *validate.FieldRules) {
	if rules == nil {
		return
	}
	switch {
	case rules.GetString() != nil:
		limitString(schema, rules)
	case rules.GetRepeated() != nil:
		r := rules.GetRepeated()
		set(schema, "minItems", r.MinItems)
		set(schema, "maxItems", r.MaxItems)
		set(schema, "uniqueItems", r.Unique)
		if items, ok := schema["items"].(object); ok {
			limit(items, r.GetItems())
		}
	case rules.GetMap() != nil:
		set(schema, "minProperties", rules.GetMap().MinPairs)
		set(schema, "maxProperties", rules.GetMap().MaxPairs)
	default:
		limitNumber(schema, rules)
	}
}

func limitString(schema object, rules *validate.FieldRules) {
	r := rules.GetString()
	set(schema, "maxLength", r.MaxLen)
	set(schema, "maxLength", r.Len)
	pattern := r.GetPattern()
	if rules.GetIgnore() != validate.Ignore_IGNORE_IF_ZERO_VALUE {
		set(schema, "minLength", r.MinLen)
		set(schema, "minLength", r.Len)
	} else if pattern != "" {
		pattern = "^$|" + pattern
	}
	if pattern != "" {
		schema["pattern"] = pattern
	}
}

// set writes a limit if there is one.
func set[T any](schema object, key string, value *T) {
	if value != nil {
		schema[key] = *value
	}
}

// limitNumber finds the bounds of any numeric type of field by their names,
// which all of them share. A 64-bit integer is a string in JSON and has none.
func limitNumber(schema object, rules *validate.FieldRules) {
	m := rules.ProtoReflect()
	kind := m.WhichOneof(m.Descriptor().Oneofs().ByName("type"))
	if kind == nil || schema["type"] != "integer" && schema["type"] != "number" {
		return
	}
	m = m.Get(kind).Message()
	for name, key := range map[protoreflect.Name]string{
		"gte": "minimum", "lte": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum",
	} {
		f := m.Descriptor().Fields().ByName(name)
		if f == nil || f.Message() != nil || !m.Has(f) {
			continue
		}
		if doc, err := json.Marshal(m.Get(f).Interface()); err == nil {
			schema[key] = json.RawMessage(doc)
		}
	}
}
