// Command vendorproto writes the .proto files that ours import.
//
// It prints them from the descriptors linked into the Go packages that the
// application is built with, so that the imports are always those of the code,
// and nothing is downloaded but Go modules. Comments are lost on the way.
//
//	vendorproto DIR
package main

import (
	"fmt"
	"os"
	"path/filepath"

	validate "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/jhump/protoreflect/v2/protoprint"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// files are the roots. What else they need comes with them or, as
// google/protobuf/*.proto, with every compiler.
func files() []protoreflect.FileDescriptor {
	return []protoreflect.FileDescriptor{
		annotations.File_google_api_annotations_proto,
		annotations.File_google_api_client_proto,
		annotations.File_google_api_field_behavior_proto,
		annotations.File_google_api_resource_proto,
		validate.File_buf_validate_validate_proto,
	}
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: vendorproto DIR")
		os.Exit(2)
	}
	if err := write(os.Args[1], files(), map[string]bool{}); err != nil {
		fmt.Fprintln(os.Stderr, "vendorproto:", err)
		os.Exit(1)
	}
}

// write prints each file and all that it imports into dir, each once.
func write(dir string, files []protoreflect.FileDescriptor, seen map[string]bool) error {
	for _, f := range files {
		if seen[f.Path()] || f.Package() == "google.protobuf" {
			continue
		}
		seen[f.Path()] = true
		if err := print(dir, f); err != nil {
			return err
		}
		var imports []protoreflect.FileDescriptor
		for i := range f.Imports().Len() {
			imports = append(imports, f.Imports().Get(i).FileDescriptor)
		}
		if err := write(dir, imports, seen); err != nil {
			return err
		}
	}
	return nil
}

// print writes one file to its place under dir.
func print(dir string, f protoreflect.FileDescriptor) error {
	printer := protoprint.Printer{SortElements: true, Indent: "  "}
	text, err := printer.PrintProtoToString(f)
	if err != nil {
		return fmt.Errorf("print %s: %w", f.Path(), err)
	}
	name := filepath.Join(dir, filepath.FromSlash(f.Path()))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	notice := "// Printed by .tools/vendorproto; do not edit. See NOTICE and LICENSE in .tools/proto.\n\n"
	return os.WriteFile(name, []byte(notice+text), 0o644)
}
