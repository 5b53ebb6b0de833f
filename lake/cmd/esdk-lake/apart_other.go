//go:build !linux && !darwin

package main

import (
	"os"
	"syscall"
)

func apart() *syscall.SysProcAttr { return nil }

// lock does nothing, since there is no such lock that a process hands on.
func lock(*os.File) error { return nil }
