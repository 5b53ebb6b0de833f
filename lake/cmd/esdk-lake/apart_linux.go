package main

import (
	"os"
	"syscall"
)

// apart has a signal of the terminal not reach the server, which is needed to the end, and
// the server end with this process.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// lock is held by all who have the file open, and so by the server.
func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
