package main

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

var systemSignals = []os.Signal{syscall.SIGIO, syscall.SIGPWR}

// disablePipedDumps also disables the dumps that the kernel pipes to a program, which
// the limit for core files does not bound. Nor can other processes of the user read
// the memory of this one any more.
func disablePipedDumps() { unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
