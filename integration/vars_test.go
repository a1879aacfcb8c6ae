package integration

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// noMutableVars refuses package variables that can change. What stays: errors,
// compiled patterns, embedded files, interface assertions, and tables that
// nobody assigns. Tests may keep what they build once.
func noMutableVars(t *tree) []string {
	changed := assigned(t)
	var all sentences
	for _, s := range t.shipped() {
		for _, v := range packageVars(s) {
			for i, id := range v.Names {
				if id.Name == "_" || strings.Contains(v.Doc.Text()+directives(v.Doc), "go:embed") {
					continue
				}
				switch {
				case changed[s.dir+"."+id.Name]:
					all.add("%s: %s is changed while the program runs: make it a field of what needs it.", s.at(id), id.Name)
				case !constant(v, i):
					all.add("%s: %s can change: make it a field, a function, or a table of plain values.", s.at(id), id.Name)
				}
			}
		}
	}
	return all
}

// directives gives the //go:… lines, which Text leaves out.
func directives(doc *ast.CommentGroup) (text string) {
	if doc != nil {
		for _, c := range doc.List {
			text += c.Text + "\n"
		}
	}
	return text
}

// constant reports whether the i-th variable holds what nobody can change
// without assigning it.
func constant(v *ast.ValueSpec, i int) bool {
	if i >= len(v.Values) {
		return false // no value: it waits for one
	}
	switch x := v.Values[i].(type) {
	case *ast.CallExpr:
		return harmless(x)
	case *ast.UnaryExpr:
		return x.Op != token.AND
	case *ast.CompositeLit:
		sel, ok := x.Type.(*ast.SelectorExpr)
		return !ok || !is(sel.X, "sync") && !is(sel.X, "atomic")
	}
	return true
}

// harmless lists the calls whose results do not change.
func harmless(call *ast.CallExpr) bool {
	switch f := call.Fun.(type) {
	case *ast.ArrayType:
		return true // []byte("…")
	case *ast.SelectorExpr:
		name := f.Sel.Name
		if x, ok := f.X.(*ast.Ident); ok {
			name = x.Name + "." + name
		} else if x, ok := f.X.(*ast.SelectorExpr); ok && is(x.X, "errs") {
			return true // errs.NotFound.New("…")
		} else if inner, ok := f.X.(*ast.CallExpr); ok {
			return harmless(inner) // errs.NotFound.New("…").Because("…")
		}
		return slices.Contains([]string{
			"errors.New", "fmt.Errorf", "regexp.MustCompile", "template.Must", "time.Date", "time.Duration",
			"netip.MustParsePrefix", "netip.MustParseAddr", "strings.NewReplacer", "reflect.TypeFor", "time.Unix",
		}, name)
	}
	return false
}

func is(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// assigned finds the package variables that some code writes to, as
// "folder.name".
func assigned(t *tree) map[string]bool {
	changed := map[string]bool{}
	for _, s := range t.own() {
		note := func(e ast.Expr) {
			if name := variable(s, e); name != "" {
				changed[name] = true
			}
		}
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, e := range n.Lhs {
						note(e)
					}
				}
			case *ast.IncDecStmt:
				note(n.X)
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					note(n.X)
				}
			case *ast.CallExpr:
				if len(n.Args) > 0 && (is(n.Fun, "delete") || is(n.Fun, "clear")) {
					note(n.Args[0])
				}
			}
			return true
		})
	}
	return changed
}

// variable names the package variable that e is part of; empty: of none.
func variable(s *source, e ast.Expr) string {
	switch e := e.(type) {
	case *ast.IndexExpr:
		return variable(s, e.X)
	case *ast.ParenExpr:
		return variable(s, e.X)
	case *ast.SelectorExpr:
		if id, ok := e.X.(*ast.Ident); ok {
			if dir, ours := strings.CutPrefix(s.importOf(id), module+"/"); ours {
				return dir + "." + e.Sel.Name
			}
		}
		return variable(s, e.X)
	case *ast.Ident:
		if e.Obj == nil { // declared in another file
			return s.dir + "." + e.Name
		}
		for _, v := range packageVars(s) {
			if e.Obj.Decl == v {
				return s.dir + "." + e.Name
			}
		}
	}
	return ""
}
