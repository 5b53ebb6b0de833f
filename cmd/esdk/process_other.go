//go:build !unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

var sigPipe []os.Signal

// endSignals are the signals that Go raises for Ctrl-C and for the end of the
// console or session.
var endSignals = []os.Signal{os.Interrupt, syscall.SIGTERM}

func ignored(s os.Signal) bool { return signal.Ignored(s) }

// terminalName names the terminal that the command was started from.
const terminalName = "CONIN$"

func disableCoreDumps() {}
