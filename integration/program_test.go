package integration

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"example.com/app/platform/registry/consul/consultest"
)

// buildOnce holds the program that tests run as a user would.
type buildOnce struct {
	once sync.Once
	dir  string
	err  error
}

// program builds app once for all tests of the package and returns the folder
// it is in.
func program(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "app"); built.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-o", filepath.Join(built.dir, "app"), "..").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	require.NoError(t, built.err)
	return built.dir
}

var built = new(buildOnce)

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// TestScripts runs the program by the scripts in testdata/script, each in a
// folder of its own, with ports of its own in $HTTP, $ADMIN, $GRPC and $OTHER.
//
//	await URL STATUS   asks until the answer has the status
//	get URL STATUS     asks once; the answer is stdout
//	token              gets an access token at $HTTP, which later questions show
//	consul             starts an agent and says so in $CONSUL_HTTP_ADDR
//	register NAME ADDR registers a service as anybody would
//	backend ADDR TEXT  serves TEXT over HTTP until the script ends
func TestScripts(t *testing.T) {
	dir := program(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", dir+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, ".state")) // the issuer's secrets
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, ".cache"))
			for _, name := range []string{"HTTP", "ADMIN", "GRPC", "OTHER"} {
				addr := freeAddr(t)
				e.Setenv(name, addr)
				e.Setenv(name+"_PORT", addr[strings.LastIndexByte(addr, ':')+1:])
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await": func(ts *testscript.TestScript, neg bool, args []string) { ask(ts, neg, args, 20*time.Second) },
			"get":   func(ts *testscript.TestScript, neg bool, args []string) { ask(ts, neg, args, 0) },
			"token": logIn,
			"consul": func(ts *testscript.TestScript, _ bool, _ []string) {
				agent := consultest.Agent(t)
				ts.Setenv("CONSUL_HTTP_ADDR", agent.Addr())
			},
			"register": register,
			"backend":  backend,
		},
	})
}

// freeAddr is a loopback address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	return loopback(freePorts(t, 1)[0])
}

// ask asks for a URL until the status is the one wanted, or the time is up.
func ask(ts *testscript.TestScript, neg bool, args []string, patience time.Duration) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await|get URL STATUS")
	}
	url := args[0]
	if !strings.HasPrefix(url, "http://") {
		url = "http://" + url
	}
	over := time.Now().Add(patience)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		status, body := answer(url, ts.Getenv("TOKEN"))
		if strconv.Itoa(status) == args[1] {
			_, _ = io.WriteString(ts.Stdout(), body)
			return
		}
		if time.Now().After(over) {
			ts.Fatalf("%s: %d %s, want %s", url, status, body, args[1])
		}
		<-again.C
	}
}

// logIn does what a caller does first.
func logIn(ts *testscript.TestScript, _ bool, _ []string) {
	_, port, err := net.SplitHostPort(ts.Getenv("HTTP"))
	ts.Check(err)
	ts.Check(ts.Exec("app", "token", "--issuer=http://localhost:"+port))
	ts.Setenv("TOKEN", strings.TrimSpace(ts.ReadFile("stdout")))
}

// answer asks for a URL, with an access token unless that is empty.
func answer(url, token string) (status int, body string) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, err.Error()
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client := http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(text)
}

// register does what `consul services register` does.
func register(ts *testscript.TestScript, _ bool, args []string) {
	host, port, err := net.SplitHostPort(args[1])
	ts.Check(err)
	body := fmt.Sprintf(`{"Name":%q,"Address":%q,"Port":%s}`, args[0], host, port)
	req, err := http.NewRequest(http.MethodPut, "http://"+ts.Getenv("CONSUL_HTTP_ADDR")+"/v1/agent/service/register", strings.NewReader(body))
	ts.Check(err)
	res, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		ts.Fatalf("register: %s", res.Status)
	}
}

func backend(ts *testscript.TestScript, _ bool, args []string) {
	ln, err := net.Listen("tcp", args[0])
	ts.Check(err)
	s := http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s\n", args[1], r.URL.Path)
	})}
	go func() { _ = s.Serve(ln) }()
	ts.Defer(func() { _ = s.Close() })
}
