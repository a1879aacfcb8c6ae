package command

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/app/platform/errs"
)

// secretFile is a file of one's own that holds a text.
func secretFile(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	require.NoError(t, os.Chmod(name, mode))
	return name
}

func TestEX2SecretIsReadFromAFileOrStdin(t *testing.T) {
	for text, want := range map[string]string{
		"s3cret": "s3cret", "s3cret\n": "s3cret", "s3cret\r\n": "s3cret", "s3cret\n\n": "s3cret\n", " s3 cret ": " s3 cret ",
	} {
		for _, mode := range []os.FileMode{0o600, 0o400} {
			got, err := ReadSecret(nil, secretFile(t, text, mode))
			require.NoError(t, err)
			require.Equal(t, want, string(got))
		}
		got, err := ReadSecret(strings.NewReader(text), "-")
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}

func TestEX2SecretThatOthersMayReadIsRefused(t *testing.T) {
	for _, mode := range []os.FileMode{0o644, 0o640, 0o604, 0o620, 0o777} {
		name := secretFile(t, "s3cret", mode)
		_, err := ReadSecret(nil, name)
		require.ErrorContains(t, err, "read secret "+name+": others may read it: its mode is 0")
		require.Equal(t, "chmod 600 "+name, hintOf(err))
		require.True(t, errs.Invalid.Is(err))
		require.NotContains(t, err.Error(), "s3cret")
	}
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(secretFile(t, "s3cret", 0o644), link))
	_, err := ReadSecret(nil, link)
	require.ErrorContains(t, err, "others may read it", "the file counts, not the link")
	require.True(t, mounted("/run/secrets/token"))
	require.True(t, mounted("/dev/fd/63"))
	require.False(t, mounted("/run/secrets/../../tmp/token"))
	require.False(t, mounted("/run/secretsandmore/token"))
}

func TestEX2SecretComesThroughAPipeOfTheShell(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	_, err = w.WriteString("s3cret\n")
	require.NoError(t, err)
	require.NoError(t, w.Close())
	if _, err := os.Stat("/dev/fd"); err != nil {
		t.Skip("this system has no /dev/fd")
	}
	got, err := ReadSecret(nil, "/dev/fd/"+strconv.Itoa(int(r.Fd())))
	require.NoError(t, err)
	require.Equal(t, "s3cret", string(got))
}

func TestSecretFileThatMakesNoSenseIsRefusedWithAHint(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]string{
		filepath.Join(dir, "none"): "no such file or directory",
		dir:                        "is a directory",
		secretFile(t, "", 0o600):   "it is empty",
		secretFile(t, "\n", 0o600): "it is empty",
		secretFile(t, strings.Repeat("x", secretBytes+1), 0o600): "it holds more than 64 KiB",
	} {
		_, err := ReadSecret(nil, name)
		require.EqualError(t, err, "read secret "+name+": "+want)
		require.NotEmpty(t, hintOf(err))
	}
	got, err := ReadSecret(nil, secretFile(t, strings.Repeat("x", secretBytes), 0o600))
	require.NoError(t, err)
	require.Len(t, string(got), secretBytes)
}

func TestEX1AdminTokenMustBeHardToGuessAndFitAHeader(t *testing.T) {
	token, err := AdminToken(nil, "")
	require.NoError(t, err)
	require.Empty(t, token)
	token, err = AdminToken(nil, secretFile(t, "0123456789abcdef-._~+/==\n", 0o600))
	require.NoError(t, err)
	require.Equal(t, "0123456789abcdef-._~+/==", string(token))
	for text, want := range map[string]string{
		"0123456789abcde": "too short", "0123456789 abcdef": "holds characters", "0123456789\nabcdef": "holds characters",
		"0123456789=abcdef": "holds characters", "0123456789äabcdef": "holds characters",
	} {
		_, err := AdminToken(nil, secretFile(t, text, 0o600))
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "0123456789")
		require.Equal(t, "openssl rand -hex 32 makes a good one", hintOf(err))
	}
	_, err = AdminToken(nil, secretFile(t, "0123456789abcdef", 0o644))
	require.ErrorContains(t, err, "--admin-token-file: read secret")
	require.Contains(t, hintOf(err), "chmod 600")
}
