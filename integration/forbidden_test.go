package integration

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

// A ban is what shipped code in services and platform must not use, since it
// ties a node to its process, its machine or the wall clock.
type ban struct {
	pkg     string
	names   []string // patterns as in path.Match; "*" bans the import
	instead string
}

func bans() []ban {
	return []ban{
		{"net", []string{"Dial*", "Listen", "Listen[A-Z]*", "FileConn", "FileListener", "Pipe", "DefaultResolver", "Lookup*", "Resolve*"}, "go through network.Network"},
		{"net/http", []string{"Default*", "Get", "Head", "Post", "PostForm", "Handle", "HandleFunc", "ListenAndServe*", "Serve", "ServeTLS"}, "use a Client, ServeMux and Server of your own over network.Network"},
		{"os", []string{"Getenv", "LookupEnv", "Environ", "Setenv", "ExpandEnv", "Hostname", "Getpid", "Getppid", "Exit", "Args"}, "have the command hand it in"},
		{"os", []string{"Open*", "Create*", "ReadFile", "ReadDir", "WriteFile", "Remove*", "Rename", "Mkdir*", "Std*"}, "have the caller hand in an io or fs value"},
		{"os/exec", []string{"*"}, "a role starts no processes"},
		{"os/signal", []string{"*"}, "the command turns signals into a cancelled context"},
		{"plugin", []string{"*"}, "list roles in services.go"},
		{"C", []string{"*"}, "stay in Go: cgo leaves virtual time"},
		{"time", []string{"Local", "LoadLocation*"}, "use UTC"},
		{"time", []string{"Sleep", "Tick"}, "wait for a timer and the context together"},
		{"log", []string{"*"}, "log to Env's slog.Logger"},
		{"log/slog", []string{"SetDefault", "Default", "SetLogLoggerLevel", "Debug*", "Info*", "Warn*", "Error*", "Log", "LogAttrs"}, "log to Env's slog.Logger"},
		{"expvar", []string{"*"}, "use Env's metrics"},
		{"github.com/prometheus/client_golang/prometheus", []string{"Default*", "MustRegister", "Register", "Unregister"}, "use Env's metrics"},
		{"github.com/prometheus/client_golang/prometheus/promauto", []string{"New*"}, "use promauto.With and Env's metrics"},
		{"github.com/prometheus/client_golang/prometheus/promhttp", []string{"Handler"}, "use promhttp.HandlerFor and Env's metrics"},
		{"go.opentelemetry.io/otel", []string{"Set*", "Get*", "Tracer", "Meter", "Handle"}, "use Env's providers"},
		{"google.golang.org/grpc/resolver", []string{"Register", "SetDefaultScheme"}, "pass grpc.WithResolvers"},
		{"google.golang.org/grpc/grpclog", []string{"SetLogger*"}, "only the command may set a global logger"},
		{"math/rand", []string{"*"}, "use math/rand/v2 with a source of its own"},
		{"runtime", []string{"NumGoroutine", "NumCPU", "GOMAXPROCS"}, "take the number from the configuration"},
		{"net/http/pprof", []string{"*"}, "only the admin listener serves profiles; importing it changes http.DefaultServeMux"},
	}
}

// An exception lets files use what is banned, for a reason.
type exception struct {
	files  string   // as in path.Match
	uses   []string // "os.Getenv"; patterns as in path.Match, of a whole package: "os.*"
	reason string
}

func exceptions() []exception {
	return []exception{
		{"platform/network/*.go", []string{"net.*"}, "it is the network"},
		{"platform/command/*.go", []string{"os/signal.*", "os.*", "runtime.*", "log/slog.*"}, "it is the command: it meets the process and the machine so that nobody else has to"},
		{"platform/app/admin*.go", []string{"net/http/pprof.*", "runtime.*"}, "profiles are served on the admin listener alone"},
		{"platform/identity/files.go", []string{"os.*"}, "it reads certificates from files, and that they are files is the point"},
		{"platform/edge/tls.go", []string{"os.*"}, "it reads certificates from files, and that they are files is the point"},
		{"services/issuer/account/*.go", []string{"os.*"}, "it keeps keys and passwords in files that nobody else may read"},
		{"platform/telemetry/*.go", []string{"net/http/pprof.*", "runtime.*"}, "it makes what the admin listener serves"},
	}
}

// nothingForbidden looks for banned imports, names and formats.
func nothingForbidden(t *tree) []string {
	var all sentences
	for _, s := range t.shipped() {
		if !under(s.dir, "services") && !under(s.dir, "platform") {
			continue
		}
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ImportSpec:
				all.use(s, n, strings.Trim(n.Path.Value, `"`), "*")
			case *ast.SelectorExpr:
				if id, ok := n.X.(*ast.Ident); ok {
					all.use(s, n, s.importOf(id), n.Sel.Name)
				}
			case *ast.BasicLit:
				if n.Kind == token.STRING && strings.Contains(n.Value, "%p") {
					all.add("%s: %%p prints an address, which differs from run to run: print a name or an id.", s.at(n))
				}
			}
			return true
		})
	}
	return all
}

// use adds a sentence if what the file uses is banned.
func (all *sentences) use(s *source, n ast.Node, pkg, name string) {
	for _, b := range bans() {
		if b.pkg == pkg && slices.ContainsFunc(b.names, func(p string) bool { return matches(p, name) }) && !excepted(s, pkg+"."+name) {
			all.add("%s: %s ties the node to its process: %s.", s.at(n), strings.TrimSuffix(pkg+"."+name, ".*"), b.instead)
			return
		}
	}
}

// matches compares a name; the ban of an import is its own, or each use would
// be told again.
func matches(pattern, name string) bool {
	if pattern == "*" || name == "*" {
		return pattern == name
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

func excepted(s *source, use string) bool {
	for _, e := range exceptions() {
		if ok, err := path.Match(e.files, s.path); !ok || err != nil {
			continue
		}
		if slices.ContainsFunc(e.uses, func(p string) bool {
			return use == p || strings.HasSuffix(p, ".*") && strings.HasPrefix(use, p[:len(p)-1])
		}) {
			return true
		}
	}
	return false
}
