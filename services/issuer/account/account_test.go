package account_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
	"example.com/app/services/issuer/account"
)

func open(t *testing.T, dir string) *account.Accounts {
	t.Helper()
	a, err := account.Open(account.Config{Dir: dir, PublicURL: "http://localhost:8080", Cost: account.Cost{Memory: 64, Passes: 1}})
	require.NoError(t, err)
	return a
}

func content(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return strings.TrimSpace(string(data))
}

func TestTheFirstStartMakesADemo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "issuer")
	a := open(t, dir)
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())

	demo, err := a.Client("demo")
	require.NoError(t, err)
	secret := content(t, dir, "demo.secret")
	require.True(t, demo.Shows(secret))
	require.False(t, demo.Shows(secret+"x"))
	require.False(t, demo.Shows(""))
	require.NotContains(t, content(t, dir, "clients.json"), secret)
	password := content(t, dir, "demo.password")
	user, err := a.Login(t.Context(), "demo", password)
	require.NoError(t, err)
	require.NotContains(t, content(t, dir, "users.json"), password)
	require.NotEqual(t, "demo", user.Subject, "no client can have it as its id")

	gateway, err := a.Client("gateway")
	require.NoError(t, err)
	require.True(t, gateway.Redirect("http://localhost:8080/auth/callback"))
	require.True(t, gateway.Public())
	cli, err := a.Client("app")
	require.NoError(t, err)
	require.True(t, cli.May(account.DeviceGrant))

	again, err := open(t, dir).Login(t.Context(), "demo", password)
	require.NoError(t, err)
	require.Equal(t, user.Subject, again.Subject, "a second start makes nothing new")
}

func TestAPasswordIsChangedWhileTheIssuerRuns(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	require.NoError(t, account.SetPassword(dir, "ada", "first password"))
	ada, err := a.Login(t.Context(), "ada", "first password")
	require.NoError(t, err)
	require.NoError(t, account.SetPassword(dir, "ada", "second password"))
	_, err = a.Login(t.Context(), "ada", "first password")
	require.True(t, errs.Unauthenticated.Is(err), err)
	same, err := a.Login(t.Context(), "ada", "second password")
	require.NoError(t, err)
	require.Equal(t, ada.Subject, same.Subject)
	_, err = a.User(ada.Subject)
	require.NoError(t, err)
	require.Error(t, account.SetPassword(dir, "", "x"))
}

func TestPasswordsSetAtOnceAreAllKept(t *testing.T) {
	dir := t.TempDir()
	names := []string{"a", "b", "c", "d"}
	var all sync.WaitGroup
	for _, name := range names {
		all.Go(func() { _ = account.SetPassword(dir, name, "password of "+name) })
	}
	all.Wait()
	a := open(t, dir)
	for _, name := range names {
		_, err := a.Login(t.Context(), name, "password of "+name)
		require.NoError(t, err)
	}
}

func TestWrongNamesAndPasswordsAreRefusedAlike(t *testing.T) {
	a := open(t, t.TempDir())
	_, known := a.Login(t.Context(), "demo", "wrong")
	_, unknown := a.Login(t.Context(), "nobody", "nobody has this")
	_, empty := a.Login(t.Context(), "", "")
	require.True(t, errs.Unauthenticated.Is(known))
	require.EqualError(t, unknown, known.Error())
	require.EqualError(t, empty, known.Error())
}

func TestFilesThatOthersReadAreRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	for _, name := range []string{"users.json", "clients.json"} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.Chmod(path, 0o644))
		_, err := account.Open(account.Config{Dir: dir})
		require.ErrorContains(t, err, "chmod 600")
		require.NoError(t, os.Chmod(path, 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "users.json"), []byte(`[{"name":"x","subject":"y","password":"plain"}]`), 0o600))
	_, err := account.Open(account.Config{Dir: dir})
	require.ErrorContains(t, err, "PHC")
}

func TestLoginsWaitTheirTurn(t *testing.T) {
	a, err := account.Open(account.Config{Cost: account.Cost{Memory: 64, Passes: 1, Places: 1}})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 { // select picks at random where both are ready
		if _, err = a.Login(ctx, "x", "y"); errs.Unavailable.Is(err) {
			return
		}
	}
	require.Fail(t, "a login whose caller is gone goes on")
}

func TestHashesAreArgon2idWithOWASPsCost(t *testing.T) {
	hash, err := account.HashPassword(t.Context(), "x")
	require.NoError(t, err)
	require.Regexp(t, `^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$`, hash)
	for _, bad := range []string{"", "x", hash + "$", strings.Replace(hash, "argon2id", "argon2i", 1), strings.Replace(hash, "m=19456", "m=99999999", 1),
		strings.Replace(hash, "t=2", "t=0", 1), strings.Replace(hash, "v=19", "v=16", 1)} {
		_, err := account.Open(account.Config{Users: []account.User{{Name: "x", Subject: "x", Password: bad}}})
		require.ErrorContains(t, err, "PHC", bad)
	}
	_, err = account.Open(account.Config{Users: []account.User{{Name: "x", Subject: "x", Password: hash}}})
	require.NoError(t, err)
}

func TestClientsThatMakeNoSenseAreRefused(t *testing.T) {
	for name, c := range map[string]account.Client{
		"no id":          {Grants: []string{"client_credentials"}},
		"no grants":      {ID: "x"},
		"no secret":      {ID: "x", Grants: []string{"client_credentials"}},
		"a plain secret": {ID: "x", SecretHash: "secret", Grants: []string{"client_credentials"}},
		"a fragment":     {ID: "x", Grants: []string{"authorization_code"}, Redirects: []string{"https://x/#"}},
		"no host":        {ID: "x", Grants: []string{"authorization_code"}, Redirects: []string{"https:///x"}},
		"a script":       {ID: "x", Grants: []string{"authorization_code"}, Redirects: []string{"javascript:alert(1)"}},
	} {
		_, err := account.Open(account.Config{Clients: []account.Client{c}})
		require.True(t, errs.Invalid.Is(err), name)
	}
}

func BenchmarkLogin(b *testing.B) {
	a, err := account.Open(account.Config{})
	require.NoError(b, err)
	for b.Loop() {
		_, _ = a.Login(b.Context(), "x", "y")
	}
}
