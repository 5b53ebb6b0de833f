//go:build !linux && !darwin

package main

import (
	"os"
	"syscall"
)

func apart() *syscall.SysProcAttr { return nil }

// lock does nothing, since no lock here can be passed to another process.
func lock(*os.File) error { return nil }
