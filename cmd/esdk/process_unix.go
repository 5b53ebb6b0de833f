//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

var sigPipe = []os.Signal{syscall.SIGPIPE}

// endSignals are signals that end a process unless it handles them. SIGXFSZ is
// left out, since the write that caused it also fails. Signals that Go's
// runtime reserves are left out, too.
var endSignals = append([]os.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGABRT, syscall.SIGALRM,
	syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGVTALRM, syscall.SIGXCPU,
}, systemSignals...)

// ignored reports whether a signal was ignored when the command was started.
// Go's runtime knows this for SIGHUP and SIGINT only. A shell ignores SIGQUIT
// along with SIGINT.
func ignored(s os.Signal) bool {
	if s == syscall.SIGQUIT {
		s = syscall.SIGINT
	}
	return signal.Ignored(s)
}

// terminalName names the terminal that the command was started from.
const terminalName = "/dev/tty"

// disableCoreDumps keeps keys and plaintext out of core files.
func disableCoreDumps() {
	syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	disablePipedDumps()
}
