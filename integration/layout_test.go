package integration

import (
	"go/ast"
	"maps"
	"path"
	"slices"
	"strings"
)

// topLevel lets nothing grow at the top.
func topLevel(t *tree) []string {
	allowed := []string{
		"go.mod", "go.sum", "LICENSE", "README.md", "main.go", "services", "platform", "sim", "integration",
		"app", // what go build leaves; git ignores it
	}
	var all sentences
	for _, name := range t.top {
		if name[0] != '.' && !slices.Contains(allowed, name) {
			all.add("%s does not belong at the top: move it into services, platform, sim or integration, or a dot-folder for tools.", name)
		}
	}
	return all
}

// importArrows keeps imports within the directions of architecture.md.
func importArrows(t *tree) []string {
	var all sentences
	for _, s := range t.own() {
		imports := s.imports()
		for _, p := range slices.Sorted(maps.Keys(imports)) {
			if why := arrow(s, p); why != "" {
				all.add("%s: %s imports %s: %s.", s.at(imports[p]), s.dir, p, why)
			}
		}
	}
	return all
}

// leaves are the packages that app and rpc are built on.
func leaves() []string {
	return []string{
		"registry", "network", "balance", "errs", "telemetry", "transcode", "proxy",
		"identity", "auth", "config", "resilience", "events", "cache",
	}
}

// arrow says why a file may not import p; empty: it may.
func arrow(s *source, p string) string {
	to, ours := strings.CutPrefix(p, module+"/")
	if !ours {
		return foreignArrow(s, p)
	}
	switch {
	case under(to, "integration") && !under(s.dir, "integration"):
		return "nothing imports integration; move what is shared to where it belongs"
	case testSupport(to) && !s.test:
		return "a package for tests is imported by tests alone"
	case under(s.dir, "platform") && (under(to, "services") || under(to, "sim")):
		return "platform knows neither roles nor the simulator; let the caller hand in what it needs"
	case under(s.dir, "sim") && under(to, "services"):
		return "sim knows no roles; main hands them over"
	case under(s.dir, "services"):
		return serviceArrow(s, to)
	case under(s.dir, "platform/rpc") && under(to, "platform/app"):
		return "app is built on rpc, not the other way"
	}
	for _, leaf := range leaves() {
		if under(s.dir, "platform/"+leaf) && (under(to, "platform/app") || under(to, "platform/rpc")) {
			return leaf + " is a leaf, and app and rpc are built on leaves; turn the dependency round with an interface"
		}
	}
	return ""
}

// serviceArrow says why a service may not import another folder of ours.
func serviceArrow(s *source, to string) string {
	if under(to, "platform") || s.dir == "services" && (under(to, "services") || under(to, "sim")) {
		return "" // the lists of roles and of scenarios know both sides
	}
	if !under(to, "services") {
		return "a service imports platform and the …pb packages of other services, nothing else"
	}
	role := strings.Split(s.dir, "/")[1]
	parts := strings.Split(to, "/")
	if len(parts) > 1 && parts[1] == role || len(parts) == 3 && parts[2] == parts[1]+"pb" {
		return ""
	}
	return "services know each other only by their …pb packages; call it through Env.Dial"
}

// foreignArrow says why shipped code may not import a package of others.
func foreignArrow(s *source, p string) string {
	tests := p == "testing" || strings.HasPrefix(p, "testing/") || strings.HasPrefix(p, "github.com/stretchr/")
	if tests && !s.test && (under(s.dir, "platform") || under(s.dir, "services")) {
		return "what serves tests stays in _test.go files and …test packages"
	}
	return ""
}

// roleFolders asks for services/<role>/<role>.go with a Role that services.go lists.
func roleFolders(t *tree) []string {
	var list *source
	roles := map[string]bool{} // role: it has <role>.go with a Role
	for _, s := range t.shipped() {
		parts := strings.Split(s.path, "/")
		switch {
		case s.path == "services/services.go":
			list = s
		case len(parts) >= 3 && parts[0] == "services":
			role := parts[1]
			roles[role] = roles[role] || s.path == path.Join("services", role, role+".go") && declaresRole(s)
		}
	}
	var all sentences
	for _, role := range slices.Sorted(maps.Keys(roles)) {
		if !roles[role] {
			all.add("services/%[1]s has no %[1]s.go that declares Role: begin the service there.", role)
		} else if list == nil || list.imports()[module+"/services/"+role] == nil {
			all.add("services/services.go does not list %[1]s: add %[1]s.Role to it.", role)
		}
	}
	return all
}

func declaresRole(s *source) bool {
	for _, v := range packageVars(s) {
		if slices.ContainsFunc(v.Names, func(id *ast.Ident) bool { return id.Name == "Role" }) {
			return true
		}
	}
	return false
}
