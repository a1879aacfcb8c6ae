package integration

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// module is the path that all imports of our own begin with.
const module = "example.com/app"

// A tree is the source of a module, parsed.
type tree struct {
	top   []string // names at the top, sorted
	files []*source
}

// A source is one Go file.
type source struct {
	path      string // from the top, as in "platform/rpc/client.go"
	dir       string // "." at the top
	lines     int
	test      bool // _test.go, or in a package for tests only
	generated bool
	syntax    *ast.File
	positions *token.FileSet
}

// survey parses every Go file outside testdata, vendored assets and dot-folders.
func survey(files fs.FS) (*tree, error) {
	t := &tree{}
	top, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, err
	}
	for _, e := range top {
		t.top = append(t.top, e.Name())
	}
	err = fs.WalkDir(files, ".", func(name string, e fs.DirEntry, err error) error {
		switch base := path.Base(name); {
		case err != nil:
			return err
		case e.IsDir() && name != "." && (base[0] == '.' || base == "testdata" || base == "node_modules"):
			return fs.SkipDir
		case e.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		s, err := parse(files, name)
		if err == nil {
			t.files = append(t.files, s)
		}
		return err
	})
	return t, err
}

func parse(files fs.FS, name string) (*source, error) {
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, err
	}
	s := &source{path: name, dir: path.Dir(name), lines: strings.Count(string(text), "\n"), positions: token.NewFileSet()}
	s.syntax, err = parser.ParseFile(s.positions, name, text, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	s.generated = ast.IsGenerated(s.syntax)
	s.test = strings.HasSuffix(name, "_test.go") || testSupport(s.dir)
	return s, nil
}

// testSupport reports whether a package exists for tests alone, as registrytest.
func testSupport(dir string) bool {
	base := path.Base(dir)
	return strings.HasSuffix(base, "test") && base != "test"
}

// own are the files that people wrote.
func (t *tree) own() []*source {
	return slices.DeleteFunc(slices.Clone(t.files), func(s *source) bool { return s.generated })
}

// shipped are the files that people wrote and that end in the program.
func (t *tree) shipped() []*source {
	return slices.DeleteFunc(t.own(), func(s *source) bool { return s.test })
}

// under reports whether a folder is dir or inside it.
func under(folder, dir string) bool { return folder == dir || strings.HasPrefix(folder, dir+"/") }

// at says where a node is, to begin a sentence with.
func (s *source) at(n ast.Node) string {
	p := s.positions.Position(n.Pos())
	return p.Filename + ":" + strconv.Itoa(p.Line)
}

// imports gives the import paths and where they stand.
func (s *source) imports() map[string]*ast.ImportSpec {
	all := map[string]*ast.ImportSpec{}
	for _, spec := range s.syntax.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			all[p] = spec
		}
	}
	return all
}

// importOf finds which package a name in the file stands for; empty: none.
func (s *source) importOf(id *ast.Ident) string {
	if id.Obj != nil {
		return "" // a local name
	}
	for p, spec := range s.imports() {
		name := packageName(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if name == id.Name {
			return p
		}
	}
	return ""
}

// packageName guesses the name of a package from its path.
func packageName(p string) string {
	base := path.Base(p)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		base = path.Base(path.Dir(p))
	}
	return base
}

// sentences collects breaches.
type sentences []string

func (s *sentences) add(format string, args ...any) { *s = append(*s, fmt.Sprintf(format, args...)) }
