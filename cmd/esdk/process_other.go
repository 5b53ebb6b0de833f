//go:build !unix

package main

import "os"

const noBlock = 0

var sigPipe []os.Signal

func disableCoreDumps() {}

const fileMask os.FileMode = 0
