//go:build !unix

package http1

import "syscall"

func quiet(syscall.RawConn) bool { return false }

const canPeek = false
