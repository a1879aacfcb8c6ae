package integration

import (
	"go/ast"
	"go/token"
	"maps"
	"path"
	"slices"
	"strings"
)

// packageNames refuses names that say nothing, and names that are not their
// folder's.
func packageNames(t *tree) []string {
	refused := []string{
		"util", "utils", "common", "core", "types", "manager", "impl", "mocks", "mock", "helper", "helpers",
		"misc", "shared", "base", "lib", "internal",
	}
	var all sentences
	seen := map[string]bool{}
	for _, s := range t.own() {
		name := strings.TrimSuffix(s.syntax.Name.Name, "_test")
		if seen[s.dir+" "+name] {
			continue
		}
		seen[s.dir+" "+name] = true
		if base := path.Base(s.dir); name != "main" && name != base {
			all.add("%s: package %s is in the folder %s: give both the same name.", s.path, name, base)
		} else if slices.Contains(refused, name) {
			all.add("%s: package %s says nothing: name it after what it gives, a plain noun.", s.path, name)
		}
	}
	return all
}

// packageDocs asks for a doc comment on every package.
func packageDocs(t *tree) []string {
	documented := map[string]bool{}
	for _, s := range t.own() {
		hasDoc := s.syntax.Doc != nil && (s.syntax.Name.Name == "main" || strings.HasPrefix(s.syntax.Doc.Text(), "Package "+s.syntax.Name.Name))
		documented[s.dir] = documented[s.dir] || hasDoc
	}
	var all sentences
	for _, dir := range slices.Sorted(maps.Keys(documented)) {
		if !documented[dir] {
			all.add("%s has no package comment: say its idea and its one rule, beginning with \"Package %s\".", dir, path.Base(dir))
		}
	}
	return all
}

// noInit refuses init functions.
func noInit(t *tree) []string {
	var all sentences
	for _, s := range t.own() {
		for _, d := range s.syntax.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "init" && f.Recv == nil {
				all.add("%s: init runs behind everybody's back: do it in a constructor that main calls.", s.at(f))
			}
		}
	}
	return all
}

// smallInterfaces refuses interfaces of more than six methods.
func smallInterfaces(t *tree) []string {
	const most = 6
	var all sentences
	for _, s := range t.own() {
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if it, ok := spec.Type.(*ast.InterfaceType); ok && it.Methods.NumFields() > most {
				all.add("%s: interface %s has %d methods, %d are the most: split it by who calls what.",
					s.at(spec), spec.Name.Name, it.Methods.NumFields(), most)
			}
			return true
		})
	}
	return all
}

// smallFiles refuses files of more than 500 lines.
func smallFiles(t *tree) []string {
	const most = 500
	var all sentences
	for _, s := range t.own() {
		if s.lines > most {
			all.add("%s has %d lines, %d are the most: split it by idea, about 200 each.", s.path, s.lines, most)
		}
	}
	return all
}

// packageVars gives the variables declared at package level.
func packageVars(s *source) []*ast.ValueSpec {
	var all []*ast.ValueSpec
	for _, d := range s.syntax.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			if v.Doc == nil {
				v.Doc = g.Doc
			}
			all = append(all, v)
		}
	}
	return all
}
