package twin_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/app/sim/twin"
)

// TestNobodyOutlivesWhoWasKilled has a process kill one of its own, which has one
// of its own.
func TestNobodyOutlivesWhoWasKilled(t *testing.T) {
	const inner = "TWIN_TEST_PARENT"
	if os.Getenv(inner) != "" {
		cmd := exec.Command("sleep", "1000")
		defer twin.Tie(cmd)()
		require.NoError(t, cmd.Start())
		fmt.Println("child", cmd.Process.Pid)
		_ = cmd.Wait()
		return
	}
	parent := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	parent.Env = append(os.Environ(), inner+"=1")
	out, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	child, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "child ")))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(child, 0))
	require.NoError(t, parent.Process.Kill())
	_ = parent.Wait()
	require.Eventually(t, func() bool { return gone(child) }, time.Minute, 10*time.Millisecond)
}

// gone says whether a process has ended, whether or not somebody has asked how.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(state, "Z")
}
