package telemetry

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
)

// redact takes secrets out of an attribute, and what could disguise a line. It
// is a ReplaceAttr of slog: it sees every attribute that is not a group, the
// message too. An attribute with a telling name is a secret whatever it holds,
// and so is all of a group with one.
func redact(groups []string, a slog.Attr) slog.Attr {
	if sensitive(a.Key) {
		return slog.String(a.Key, secretText)
	}
	for _, g := range groups {
		if sensitive(g) {
			return slog.String(a.Key, secretText)
		}
	}
	switch a.Value.Kind() {
	case slog.KindString:
		if text := a.Value.String(); text != "" {
			a.Value = slog.StringValue(clean(text))
		}
	case slog.KindAny:
		a.Value = redactAny(a.Value.Any())
	}
	return a
}

// redactAny is for values that slog leaves to fmt or to encoding/json, which
// print all they hold. A value whose methods panic, as those of nil pointers
// do, is no reason for the process to end.
func redactAny(v any) (safe slog.Value) {
	defer func() {
		if r := recover(); r != nil {
			safe = slog.StringValue("!PANIC: " + clean(fmt.Sprint(r)))
			if p := reflect.ValueOf(v); p.Kind() == reflect.Pointer && p.IsNil() {
				safe = slog.StringValue("<nil>")
			}
		}
	}()
	switch v := v.(type) {
	case nil, slog.Level, *slog.Source:
		return slog.AnyValue(v)
	case error:
		return slog.StringValue(clean(v.Error()))
	case []byte:
		return slog.StringValue(clean(string(v)))
	case encoding.TextMarshaler:
		text, err := v.MarshalText()
		if err != nil {
			return slog.StringValue("!" + clean(err.Error()))
		}
		return slog.StringValue(clean(string(text)))
	case fmt.Stringer:
		return slog.StringValue(clean(v.String()))
	}
	switch reflect.TypeOf(v).Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8,
		reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr, reflect.Float32, reflect.Float64:
		return slog.AnyValue(v)
	case reflect.String:
		return slog.StringValue(clean(reflect.ValueOf(v).String()))
	}
	text, err := json.Marshal(v)
	if err != nil {
		return slog.StringValue(clean(fmt.Sprintf("%+v", v))) // a function, a channel: fmt knows how to say so
	}
	var tree any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		return slog.StringValue("!" + clean(err.Error())) // a MarshalJSON that lies
	}
	return slog.AnyValue(redacted{redactTree(tree)})
}

// redactTree does for JSON what redact does for attributes.
func redactTree(v any) any {
	switch v := v.(type) {
	case string:
		return clean(v)
	case []any:
		for i := range v {
			v[i] = redactTree(v[i])
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, value := range v {
			if sensitive(name) {
				out[clean(name)] = secretText
			} else {
				out[clean(name)] = redactTree(value)
			}
		}
		return out
	}
	return v
}

// redacted is a value that prints as JSON in both formats.
type redacted struct{ tree any }

func (r redacted) MarshalJSON() ([]byte, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	err := e.Encode(r.tree)
	return text.Bytes(), err
}

func (r redacted) String() string {
	text, err := r.MarshalJSON()
	if err != nil {
		return "!" + err.Error()
	}
	return strings.TrimSuffix(string(text), "\n")
}
