package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"example.com/app/platform/errs"
	"example.com/app/platform/telemetry"
)

// Secrets come from files: --NAME-file, or APP_NAME_FILE. Arguments are seen by
// everybody who may list processes, and land in the shell's history, so no flag
// takes the text of a secret.

const (
	secretBytes   = 64 << 10 // a key with its chain fits
	shortestToken = 16       // bytes of a token that nobody guesses over a network
)

// ReadSecret reads a secret from a file; "-" is stdin. One line break at the
// end is not part of it. A file that others may read is refused, save those
// that the platform mounts for it (/run/secrets) or the shell opened
// (/dev/fd). The error names the file, never what stands in it.
func ReadSecret(stdin io.Reader, name string) (telemetry.Secret, error) {
	fail := func(hint, format string, args ...any) (telemetry.Secret, error) {
		err := fmt.Errorf("read secret %s: "+format, append([]any{name}, args...)...)
		return "", &HintError{errs.Invalid.New("%w", err), hint}
	}
	from := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return fail("the flag wants the name of a file that holds the secret, or - for stdin", "%w", plainPath(err))
		}
		defer func() { _ = f.Close() }()
		info, err := f.Stat()
		if err != nil {
			return fail("can the file be read?", "%w", err)
		}
		if mode := info.Mode(); mode.IsRegular() && mode.Perm()&0o077 != 0 && !mounted(name) {
			return fail("chmod 600 "+name, "others may read it: its mode is %#o", mode.Perm())
		}
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, secretBytes+1))
	if err != nil {
		return fail("the flag wants the name of a file that holds the secret, or - for stdin", "%w", plainPath(err))
	}
	if len(text) > secretBytes {
		return fail("is that the right file?", "it holds more than %d KiB", secretBytes>>10)
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if secret == "" {
		return fail("write the secret into it first", "it is empty")
	}
	return telemetry.Secret(secret), nil
}

// plainPath is an error without the name of the file, which is told already.
func plainPath(err error) error {
	if broken := (*fs.PathError)(nil); errors.As(err, &broken) {
		return broken.Err
	}
	return err
}

// mounted tells of files whose mode the person at the command line does not
// choose.
func mounted(name string) bool {
	clean := filepath.Clean(name)
	return strings.HasPrefix(clean, "/run/secrets/") || strings.HasPrefix(clean, "/dev/fd/")
}

// AdminToken reads the token of the admin port from a file, as ReadSecret does.
// No file is no token. It must be hard to guess and fit into a header (b64token
// of RFC 6750 §2.1).
func AdminToken(stdin io.Reader, file string) (telemetry.Secret, error) {
	if file == "" {
		return "", nil
	}
	token, err := ReadSecret(stdin, file)
	if err != nil {
		return "", fmt.Errorf("--admin-token-file: %w", err)
	}
	const hint = "openssl rand -hex 32 makes a good one"
	if len(token) < shortestToken {
		return "", &HintError{errs.Invalid.New("--admin-token-file: the token in %s is too short: want %d characters or more", file, shortestToken), hint}
	}
	if strings.IndexFunc(strings.TrimRight(string(token), "="), func(r rune) bool { return !strings.ContainsRune(b64token, r) }) >= 0 {
		return "", &HintError{errs.Invalid.New("--admin-token-file: the token in %s holds characters that a header may not: want letters, digits and -._~+/", file), hint}
	}
	return token, nil
}

// b64token are the characters of a bearer token, but for the = at its end.
const b64token = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
