package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// terminal is a pseudo terminal: the end that a person types at, and the one
// that a program reads.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}

func shows(t *testing.T, f *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	require.NoError(t, err)
	return state.Lflag&unix.ECHO != 0
}

// answer runs askPassword at a terminal and types lines when it asks.
func answer(ctx context.Context, t *testing.T, lines ...string) (string, error) {
	t.Helper()
	person, program := terminal(t)
	require.True(t, isTerminal(program))
	require.True(t, shows(t, program))
	prompts, said := io.Pipe()
	type result struct {
		text string
		err  error
	}
	ended := make(chan result, 1)
	go func() {
		text, err := askPassword(ctx, program, said)
		ended <- result{text, err}
		_ = said.Close()
	}()
	for _, line := range lines {
		read := make([]byte, 64)
		var asked strings.Builder
		for !strings.HasSuffix(asked.String(), ": ") {
			n, err := prompts.Read(read)
			require.NoError(t, err)
			asked.Write(read[:n])
		}
		require.False(t, shows(t, program), "what is typed must not be seen")
		_, err := person.WriteString(line)
		require.NoError(t, err)
	}
	go func() { _, _ = io.Copy(io.Discard, prompts) }() // until said is closed
	r := <-ended
	require.True(t, shows(t, program), "the terminal is as it was")
	return r.text, r.err
}

func TestPasswdAsksTwiceOnATerminalThatDoesNotShowIt(t *testing.T) {
	text, err := answer(t.Context(), t, "correct horse\n", "correct horse\n")
	require.NoError(t, err)
	require.Equal(t, "correct horse", text)
	_, err = answer(t.Context(), t, "correct horse\n", "correct house\n")
	require.EqualError(t, err, "the two are not the same: nothing was changed")
	_, err = answer(t.Context(), t, "short\n")
	require.ErrorContains(t, err, "too short")
	_, err = answer(t.Context(), t, "\x04")
	require.ErrorContains(t, err, "EOF")
	stopped, stop := context.WithCancel(t.Context())
	stop()
	_, err = answer(stopped, t)
	require.ErrorContains(t, err, "stopped")
}

func TestPasswdKnowsWhatIsNoTerminal(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	require.False(t, isTerminal(r))
	_, err = hideInput(r)
	require.Error(t, err)
}
