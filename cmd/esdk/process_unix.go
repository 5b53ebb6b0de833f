//go:build unix

package main

import (
	"os"
	"syscall"
)

var sigPipe = []os.Signal{syscall.SIGPIPE}

// terminalName is that of the terminal that the command was started from.
const terminalName = "/dev/tty"

// disableCoreDumps keeps keys and plaintext out of core files.
func disableCoreDumps() { syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) }

// fileMask is the user's umask, which can only be read by setting it.
var fileMask = func() os.FileMode {
	mask := syscall.Umask(0)
	syscall.Umask(mask)
	return os.FileMode(mask)
}()
