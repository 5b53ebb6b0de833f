//go:build !unix

package cli

import "os"

// Closed reports whether a standard stream was closed when the command was
// started.
func Closed(f *os.File) bool {
	_, err := f.Stat()
	return err != nil
}

func unwritable(closed *os.File) *os.File { return closed }
