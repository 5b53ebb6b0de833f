//go:build unix

package cli

import (
	"os"

	"golang.org/x/sys/unix"
)

// unwritable returns what stands for a closed stream: writing to it fails, and not into
// nothing.
func unwritable(closed *os.File) *os.File {
	fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return closed
	}
	return os.NewFile(uintptr(fd), "standard output, which is closed")
}

// Closed reports whether a standard stream was closed when the command was started. Go
// opens the null device for it, to read and to write; a shell opens it for the one that
// is meant. Programs that open it for both, for what they start, are told that it is
// closed, too.
func Closed(f *os.File) bool {
	info, err := f.Stat()
	if err != nil {
		return true
	}
	null, err := os.Stat(os.DevNull)
	if err != nil || !os.SameFile(info, null) {
		return false
	}
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	return err == nil && flags&unix.O_ACCMODE == unix.O_RDWR
}
