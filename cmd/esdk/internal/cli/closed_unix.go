//go:build unix

package cli

import (
	"os"

	"golang.org/x/sys/unix"
)

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
