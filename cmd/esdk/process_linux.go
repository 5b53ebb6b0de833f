package main

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

var systemSignals = []os.Signal{syscall.SIGIO, syscall.SIGPWR}

// disablePipedDumps also disables the dumps that the kernel pipes to a program,
// since the limit for core files doesn't apply to them. It also keeps other
// processes of the user from reading the memory of this one.
func disablePipedDumps() { unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
