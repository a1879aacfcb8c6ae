package openapi

import (
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// resourceNames maps a collection to the name of its members, as in "phrases"
// to "phrase", from the google.api.resource patterns of the messages in files.
func resourceNames(files *protoregistry.Files) map[string]string {
	names := map[string]string{}
	files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Messages().Len() {
			res, _ := proto.GetExtension(file.Messages().Get(i).Options(), annotations.E_Resource).(*annotations.ResourceDescriptor)
			for _, pattern := range res.GetPattern() {
				addNames(names, strings.Split(pattern, "/"))
			}
		}
		return true
	})
	return names
}

// addNames adds what one pattern names. Of two names for a collection the
// first in the alphabet stays, whatever the order of the files.
func addNames(names map[string]string, segments []string) {
	for i := 1; i < len(segments); i++ {
		name, ok := unbrace(segments[i])
		if old, taken := names[segments[i-1]]; ok && (!taken || name < old) {
			names[segments[i-1]] = name
		}
	}
}

// unbrace is x of {x}.
func unbrace(segment string) (string, bool) {
	if !strings.HasPrefix(segment, "{") || !strings.HasSuffix(segment, "}") {
		return "", false
	}
	return segment[1 : len(segment)-1], true
}

// variable matches a variable of a path template.
var variable = regexp.MustCompile(`\{[^}]*\}`)

// expand writes a template as the generator of the documents does: a variable
// of several parts becomes several parameters, {x}, {x_1} and so on.
func expand(template string) string {
	return variable.ReplaceAllStringFunc(template, func(v string) string {
		v, _ = unbrace(v)
		field, parts, _ := strings.Cut(v, "=")
		segments := strings.Split(parts, "/")
		n := 0
		for i, s := range segments {
			if s != "*" && s != "**" {
				continue
			}
			segments[i] = "{" + field + "}"
			if n > 0 {
				segments[i] = fmt.Sprintf("{%s_%d}", field, n)
			}
			n++
		}
		return strings.Join(segments, "/")
	})
}

// rename calls the parameters in a path by what they hold: the one after
// phrases is {phrase}. It returns what became of each name. So GET and PATCH of
// a resource share a path, as OpenAPI wants it, though their fields differ.
func (m *merger) rename(path string) (string, map[string]string) {
	renamed := map[string]string{}
	segments := strings.Split(path, "/")
	for i := 1; i < len(segments); i++ {
		param, _, _ := strings.Cut(segments[i], ":")
		old, ok := unbrace(param)
		name, known := m.names[segments[i-1]]
		if !ok || !known {
			continue
		}
		renamed[old] = name
		segments[i] = strings.Replace(segments[i], param, "{"+name+"}", 1)
	}
	return strings.Join(segments, "/"), renamed
}
