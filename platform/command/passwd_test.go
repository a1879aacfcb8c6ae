package command

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
)

// setting runs `app passwd` and returns what was set.
func setting(t *testing.T, stdin string, args ...string) (set []string, said string, err error) {
	t.Helper()
	cmd := Passwd(func(dir, user, password string) error {
		set = []string{dir, user, password}
		if user == "locked" {
			return errors.New("users.json: permission denied")
		}
		return nil
	})
	var out strings.Builder
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(io.Discard)
	cmd.SetErr(&out)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return set, out.String(), err
}

func TestPasswdReadsThePasswordFromStdinOrAFile(t *testing.T) {
	set, said, err := setting(t, "correct horse\n", "ada", "--issuer-dir=/d")
	require.NoError(t, err)
	require.Equal(t, []string{"/d", "ada", "correct horse"}, set)
	require.Equal(t, "the password of ada is set in /d\n", said)
	set, _, err = setting(t, "", "ada", "--issuer-dir=/d", "--password-file="+secretFile(t, "пароль-и-всё\n", 0o600))
	require.NoError(t, err)
	require.Equal(t, "пароль-и-всё", set[2])
	t.Setenv("APP_PASSWORD_FILE", "-")
	set, _, err = setting(t, "correct horse", "ada", "--issuer-dir=/d")
	require.NoError(t, err)
	require.Equal(t, "correct horse", set[2])
}

func TestEX2PasswdNeverShowsThePassword(t *testing.T) {
	for name, c := range map[string]struct {
		stdin, want string
		args        []string
	}{
		"too short":    {"hunter2\n", "too short: want 8 characters or more", []string{"ada"}},
		"too long":     {strings.Repeat("hunter2 ", 200), "too long", []string{"ada"}},
		"empty":        {"", "it is empty", []string{"ada"}},
		"two lines":    {"hunter2\nhunter2\n", "nobody can type", []string{"ada"}},
		"not text":     {"hunter2\xff\xfe", "nobody can type", []string{"ada"}},
		"not allowed":  {"hunter2hunter2", "set the password of locked: users.json: permission denied", []string{"locked"}},
		"open file":    {"", "others may read it", []string{"ada", "--password-file=" + secretFile(t, "hunter2hunter2", 0o644)}},
		"which user":   {"hunter2hunter2", "which user?", nil},
		"two users":    {"hunter2hunter2", "which user?", []string{"ada", "bob"}},
		"an odd user":  {"hunter2hunter2", "which user?", []string{"a\nb"}},
		"no directory": {"hunter2hunter2", "--issuer-dir is empty", []string{"ada", "--issuer-dir="}},
	} {
		_, said, err := setting(t, c.stdin, append([]string{"--issuer-dir=/d"}, c.args...)...)
		require.ErrorContains(t, err, c.want, name)
		require.NotContains(t, err.Error()+hintOf(err)+said, "hunter2", name)
	}
	_, err := fit("short")
	require.True(t, errs.Invalid.Is(err))
	require.Nil(t, Passwd(nil).Flags().Lookup("password"), "no flag takes the text of a password")
}
