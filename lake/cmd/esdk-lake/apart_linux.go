package main

import (
	"os"
	"syscall"
)

// apart shields the server from signals of the terminal, since it is needed
// until the end, and makes it end with this process.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// lock is shared by all processes with the open file, including the server.
func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
