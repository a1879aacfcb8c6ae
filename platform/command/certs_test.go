package command

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/app"
	"example.com/app/platform/errs"
	"example.com/app/platform/identity"
)

// certified runs `app certs`.
func certified(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := Certs()
	var out strings.Builder
	cmd.SetOut(&out)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// issued are files with a greeter's certificate, its key, and its CA's root.
func issued(t *testing.T) (cert, key, ca string) {
	t.Helper()
	b, err := identity.NewMemory(identity.MemoryConfig{Domain: "desk.test", Now: time.Now}).Issue("greeter")
	require.NoError(t, err)
	dir := t.TempDir()
	for name, text := range map[string][]byte{"cert": b.Cert, "key": b.Key, "ca": b.CA} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	return filepath.Join(dir, "cert"), filepath.Join(dir, "key"), filepath.Join(dir, "ca")
}

func TestCertsShowsWhoseACertificateIs(t *testing.T) {
	cert, key, _ := issued(t)
	text, err := certified(t, "show", cert)
	require.NoError(t, err)
	require.Contains(t, text, "spiffe://desk.test/ns/default/dc/dc1/svc/greeter\n")
	require.Contains(t, text, "good for ")
	require.Regexp(t, `sha256  [0-9a-f]{64}\n`, text)
	_, err = certified(t, "show", key)
	require.ErrorContains(t, err, "it holds none in PEM")
	_, err = certified(t, "show", cert+"-not-there")
	require.ErrorContains(t, err, "no such file")
	_, err = certified(t, "show", cert, key)
	require.ErrorAs(t, err, new(*UsageError))
}

func TestCertsOfARunningProcess(t *testing.T) {
	cert, _, ca := issued(t)
	chain, err := os.ReadFile(cert)
	require.NoError(t, err)
	roots, err := os.ReadFile(ca)
	require.NoError(t, err)
	answer := app.Certificates{Roots: string(roots), Instances: []app.Certificate{{Host: "greeter-1", Chain: string(chain)}, {Host: "greeter-2", Error: "no certificate yet"}}}
	process := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(answer) }))
	defer process.Close()
	admin := "--admin=" + strings.TrimPrefix(process.URL, "http://")
	text, err := certified(t, "show", admin)
	require.NoError(t, err)
	require.Contains(t, text, "/svc/greeter\n")
	require.Contains(t, text, "greeter-2: no certificate yet\n")
	text, err = certified(t, "export", admin)
	require.NoError(t, err)
	require.Equal(t, string(roots), text)

	answer = app.Certificates{}
	for _, verb := range []string{"show", "export"} {
		_, err = certified(t, verb, admin)
		require.True(t, errs.NotFound.Is(err), verb)
		require.ErrorAs(t, err, new(*HintError), verb)
	}
}

func TestCertsVerifiesRootRoleAndTime(t *testing.T) {
	cert, _, ca := issued(t)
	_, _, foreign := issued(t)
	text, err := certified(t, "verify", cert, "--ca="+ca, "--role=greeter")
	require.NoError(t, err)
	require.Contains(t, text, "/svc/greeter, until ")
	for name, args := range map[string][]string{
		"a foreign CA": {"--ca=" + foreign}, "another role": {"--ca=" + ca, "--role=gateway"}, "no CA": nil, "no root": {"--ca=" + cert + "x"},
	} {
		_, err := certified(t, append([]string{"verify", cert}, args...)...)
		require.Error(t, err, name)
	}
	chain, err := readChain(cert)
	require.NoError(t, err)
	roots, err := readChain(ca)
	require.NoError(t, err)
	_, err = verifyChain(chain, roots, "greeter", time.Now().AddDate(10, 0, 0))
	require.ErrorContains(t, err, "expired")
}
