//go:build !unix

package main

import "os"

var sigPipe []os.Signal

// terminalName is that of the terminal that the command was started from.
const terminalName = "CONIN$"

func disableCoreDumps() {}

const fileMask os.FileMode = 0
