//go:build unix

package cli

import (
	"os"

	"golang.org/x/sys/unix"
)

// unwritable returns a file to use in place of a closed stream. Writing to it
// fails, instead of discarding the data.
func unwritable(closed *os.File) *os.File {
	fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return closed
	}
	return os.NewFile(uintptr(fd), "standard output, which is closed")
}

// Closed reports whether a standard stream was closed when the command was
// started. For a closed stream, Go's runtime opens the null device for reading
// and writing. A shell opens the null device in one direction only. Closed also
// returns true if the parent process opened the null device in both directions.
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
