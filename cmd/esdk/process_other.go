//go:build !unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

var sigPipe []os.Signal

// endSignals are what Go makes of Ctrl-C, and of the end of the console or session.
var endSignals = []os.Signal{os.Interrupt, syscall.SIGTERM}

func ignored(s os.Signal) bool { return signal.Ignored(s) }

// terminalName is that of the terminal that the command was started from.
const terminalName = "CONIN$"

func disableCoreDumps() {}
