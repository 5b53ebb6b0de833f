//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

var sigPipe = []os.Signal{syscall.SIGPIPE}

// endSignals end a process that does not handle them. SIGXFSZ is left out, since the
// write that caused it fails, too. So are those that Go's runtime keeps for itself.
var endSignals = append([]os.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGABRT, syscall.SIGALRM,
	syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGVTALRM, syscall.SIGXCPU,
}, systemSignals...)

// ignored reports whether a signal was ignored when the command was started. Go's
// runtime knows that of SIGHUP and SIGINT. A shell ignores SIGQUIT along with SIGINT.
func ignored(s os.Signal) bool {
	if s == syscall.SIGQUIT {
		s = syscall.SIGINT
	}
	return signal.Ignored(s)
}

// terminalName is that of the terminal that the command was started from.
const terminalName = "/dev/tty"

// disableCoreDumps keeps keys and plaintext out of core files.
func disableCoreDumps() {
	syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	disablePipedDumps()
}
