//go:build unix

package place

import "syscall"

// noBlock opens a pipe that nobody writes to, to find that it is one.
const noBlock = syscall.O_NONBLOCK

// filePath is the path of a file:// URL.
func filePath(path string) string { return path }
