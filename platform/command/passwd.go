package command

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"example.com/app/platform/errs"
)

const shortestPassword = 8 // characters (NIST SP 800-63B §5.1.1.1)

// Passwd is `app passwd`: it sets the password of a user of the issuer's
// directory. The function writes it there, hashed.
func Passwd(set func(dir, user, password string) error) *cobra.Command {
	var dir, file string
	cmd := &cobra.Command{
		Use:   "passwd USER",
		Short: "Set the password of a user of the issuer",
		Long: `Set the password of a user of the issuer that keeps its users in --issuer-dir on
this machine; a user who is not there is made. The password is asked for on the
terminal, or read from stdin or a file, and kept as a hash.`,
		Example: `  app passwd ada
  pwgen 20 1 | app passwd ada
  app passwd ada --password-file=ada.password`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || !printable(args[0]) {
				return usage("which user? want one name, as in app passwd ada")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := FromEnv(cmd, os.LookupEnv); err != nil {
				return err
			}
			if dir == "" {
				return usage("--issuer-dir is empty: an issuer in memory has no users that outlive it")
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			password, err := readPassword(ctx, cmd, file)
			if err != nil {
				return err
			}
			if err := set(dir, args[0], password); err != nil {
				return fmt.Errorf("set the password of %s: %w", args[0], err)
			}
			_, err = fmt.Fprintf(cmd.ErrOrStderr(), "the password of %s is set in %s\n", args[0], dir)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "issuer-dir", defaultIssuerDir(), "where the issuer keeps its users")
	f.StringVar(&file, "password-file", "", "file that holds the password, - is stdin; default: the terminal, or stdin where it is none")
	return cmd
}

// readPassword reads it from a file, from a terminal that does not show it, or
// from stdin.
func readPassword(ctx context.Context, cmd *cobra.Command, file string) (string, error) {
	in := cmd.InOrStdin()
	if f, ok := in.(*os.File); ok && file == "" && isTerminal(f) {
		return askPassword(ctx, f, cmd.ErrOrStderr())
	}
	if file == "" {
		file = "-"
	}
	secret, err := ReadSecret(in, file)
	if err != nil {
		return "", err
	}
	return fit(string(secret))
}

// askPassword asks twice, since nobody sees what they type.
func askPassword(ctx context.Context, terminal *os.File, prompt io.Writer) (string, error) {
	show, err := hideInput(terminal)
	if err != nil {
		return "", &HintError{errs.Unsupported.New("read the password: the terminal would show it: %w", err), "give it with --password-file, or through a pipe"}
	}
	defer show()
	type typed struct {
		text string
		err  error
	}
	answers := make(chan typed, 2)
	asked := make(chan string, 2)
	go func() { // ends with the process where the person pressed Ctrl-C: a read of a terminal can't be stopped
		lines := bufio.NewReader(io.LimitReader(terminal, secretBytes))
		for question := range asked {
			_, _ = fmt.Fprint(prompt, question)
			text, err := lines.ReadString('\n')
			_, _ = fmt.Fprintln(prompt)
			answers <- typed{strings.TrimRight(text, "\r\n"), err}
		}
	}()
	defer close(asked)
	var both [2]string
	for i, question := range []string{"Password: ", "Again: "} {
		asked <- question
		select {
		case a := <-answers:
			if a.err != nil {
				return "", errs.Invalid.New("read the password: %w", a.err)
			}
			both[i] = a.text
		case <-ctx.Done():
			return "", errs.Cancelled.New("read the password: stopped")
		}
		if _, err := fit(both[i]); err != nil {
			return "", err
		}
	}
	if both[0] != both[1] {
		return "", errs.Invalid.New("the two are not the same: nothing was changed")
	}
	return both[0], nil
}

// fit refuses passwords that are easily guessed or that no login page could
// send.
func fit(password string) (string, error) {
	switch {
	case !utf8.ValidString(password) || strings.IndexFunc(password, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0:
		return "", errs.Invalid.New("the password holds characters that nobody can type: want one line of text")
	case utf8.RuneCountInString(password) < shortestPassword:
		return "", errs.Invalid.New("the password is too short: want %d characters or more", shortestPassword)
	case len(password) > 1024:
		return "", errs.Invalid.New("the password is too long: want 1024 bytes or less")
	}
	return password, nil
}
