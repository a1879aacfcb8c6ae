package twin

import (
	"os/exec"
	"runtime"
	"syscall"
)

// Tie has a process that is about to be started end with this one, however this
// one ends. loose is called when it has ended, by the same goroutine: until then
// that keeps its thread, whose end is what the kernel goes by (PR_SET_PDEATHSIG).
func Tie(cmd *exec.Cmd) (loose func()) {
	runtime.LockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return runtime.UnlockOSThread
}
