//go:build !unix

package main

import "os"

var sigPipe []os.Signal

func disableCoreDumps() {}

const fileMask os.FileMode = 0
