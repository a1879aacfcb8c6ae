//go:build unix

package http1

import "syscall"

// quiet reports whether nothing has come over an idle connection, neither a
// byte nor its end. An answer that nobody asked for must not become the answer
// to the next request.
func quiet(raw syscall.RawConn) bool {
	var still bool
	err := raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		still = err == syscall.EAGAIN
		return true
	})
	return err == nil && still
}

// canPeek says that quiet tells the truth.
const canPeek = true
