//go:build !linux

package atomicfile

import "os"

// syncFileSystems isn't supported on this system.
func syncFileSystems([]*File) bool { return false }

func syncFileSystemsOf([]func() (*os.File, error)) bool { return false }

// beginWriting does nothing: the system decides when it writes a file to the
// disk.
func beginWriting(*os.File, int64, int64) {}
